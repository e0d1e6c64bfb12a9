"""Modules of servers are changed once, when they are loaded, and a version that is not known breaks nothing."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from asyncio_pulse.integrations import recognise as recognising
from asyncio_pulse.integrations.asgi import PulseMiddleware
from asyncio_pulse.integrations.recognise import MARK, RECOGNISED, _await_imports, recognise
from tests.support.running import run_governed, run_plain


async def app(scope: Any, receive: Any, send: Any) -> None: ...


class Server:
    """What uvicorn's server is for us."""

    def __init__(self, **config: Any) -> None:
        self.config = SimpleNamespace(**config)

    async def startup(self, sockets: Any = None) -> Any:
        return sockets


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Stand in for `uvicorn.server`, in a program without other servers."""
    module = ModuleType("uvicorn.server")
    module.Server = type("Server", (Server,), {"startup": Server.startup})  # type: ignore[attr-defined]
    for name in RECOGNISED:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn.server", module)
    monkeypatch.setattr(recognising, "_await_imports", lambda: None)
    monkeypatch.setattr(recognising, "_failed", set())
    return module


def test_an_application_is_wrapped_once_however_often_its_server_is_recognised(module: Any) -> None:
    recognise()
    stand_in = module.Server.startup
    recognise()
    assert module.Server.startup is stand_in
    server = module.Server(loaded_app=app)
    for _ in range(2):
        assert asyncio.run(server.startup(sockets=["a socket"])) == ["a socket"]
    assert type(server.config.loaded_app) is PulseMiddleware
    assert server.config.loaded_app.app is app


def test_a_module_that_is_being_loaded_is_left_for_later(module: Any) -> None:
    module.__spec__ = SimpleNamespace(_initializing=True)
    recognise()
    assert module.Server.startup is Server.startup


@pytest.mark.parametrize("state", ["mock", "half loaded"])
def test_hooks_get_only_modules_that_are_loaded_later(
    state: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wrapt = pytest.importorskip("wrapt", reason="wrapt is not installed; it is part of the extra test")
    hooked: list[str] = []
    register = wrapt.register_post_import_hook

    def record(hook: Any, name: str) -> None:
        hooked.append(name)
        if name in sys.modules:  # what wrapt does, without a lasting hook
            register(hook, name)

    monkeypatch.setattr(wrapt, "register_post_import_hook", record)
    monkeypatch.setitem(sys.modules, "uvicorn.server", MagicMock() if state == "mock" else ModuleType("uvicorn.server"))
    with caplog.at_level(logging.WARNING, "asyncio_pulse"):
        _await_imports.__wrapped__()
    assert set(hooked) == {name for name in RECOGNISED if name not in sys.modules}
    assert not caplog.records


@pytest.mark.parametrize("stand_in", [MagicMock(), object(), "a string"], ids=lambda value: type(value).__name__)
def test_what_stands_in_for_a_module_is_left_alone(stand_in: Any, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp.web_runner", stand_in)
    recognise()
    assert hasattr(module.Server.startup, MARK)


def test_a_lazy_module_is_not_loaded(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

    monkeypatch.setitem(sys.modules, "aiohttp.web_runner", Lazy("aiohttp.web_runner"))
    recognise()
    assert hasattr(module.Server.startup, MARK)


def test_a_server_without_what_is_expected_goes_on(module: Any, caplog: pytest.LogCaptureFixture) -> None:
    recognise()
    with caplog.at_level(logging.WARNING, "asyncio_pulse"):
        for _ in range(2):
            assert asyncio.run(module.Server().startup("sockets")) == "sockets"
    [record] = caplog.records
    assert "this version of uvicorn is not recognised" in record.getMessage()


def test_a_module_without_what_is_expected_is_left_alone(module: Any, caplog: pytest.LogCaptureFixture) -> None:
    del module.Server
    with caplog.at_level(logging.WARNING, "asyncio_pulse"):
        recognise()
        recognise()
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("without", "first"), [([], True), (["wrapt"], False)], ids=["wrapt", "no wrapt"])
def test_a_module_that_is_loaded_after_the_loop_was_created(without: list[str], first: bool, tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="uvicorn is not installed; it is part of the extra test")
    pytest.importorskip("wrapt", reason="wrapt is not installed; it is part of the extra test")
    assert run_plain("imports_late.py", *without).stdout == "False False False\n"
    ending = run_governed(tmp_path, "imports_late.py", *without)
    # Without wrapt, the second loop finds the module.
    assert ending.own == (0, f"False {first} True\n", "")
