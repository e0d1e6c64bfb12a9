"""Every public name goes through a known door, exists, and says what it is for."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import asyncio_pulse

DOORS = [
    "asyncio_pulse",
    "asyncio_pulse.config",
    "asyncio_pulse.errors",
    "asyncio_pulse.integrations.aiohttp",
    "asyncio_pulse.integrations.asgi",
    "asyncio_pulse.integrations.grpc",
    "asyncio_pulse.lowlevel",
    "asyncio_pulse.metrics",
    "asyncio_pulse.testing",
]
# Every program needs these.
IN_TWO_DOORS = {
    *("ConfigError", "ConfigProfile", "GroupPolicy", "InterventionAction", "PulseError"),
    *("TaskPriority", "TierConfig", "TierPolicy"),
}
API = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def public_names(door: str) -> dict[str, object]:
    module = importlib.import_module(door)
    return {name: getattr(module, name) for name in module.__all__}


def modules() -> list[str]:
    """Name every module of the package; `__main__` runs on import, the native core declares itself in `_core.pyi`."""
    found = pkgutil.walk_packages(asyncio_pulse.__path__, "asyncio_pulse.")
    return [entry.name for entry in found if entry.name.rpartition(".")[2] not in ("__main__", "_core")]


@pytest.mark.parametrize("door", DOORS)
def test_every_public_name_exists_once(door: str) -> None:
    names = importlib.import_module(door).__all__
    assert names
    assert len(set(names)) == len(names)
    assert not [name for name in names if name.startswith("_") and name != "__version__"]
    assert public_names(door)  # getattr raises for a name that is not there


@pytest.mark.parametrize("module_name", modules())
def test_what_a_module_declares_is_there(module_name: str) -> None:
    module = importlib.import_module(module_name)
    missing = [name for name in getattr(module, "__all__", []) if not hasattr(module, name)]
    assert not missing


def test_the_everyday_door_has_at_most_twenty_names() -> None:
    assert len(asyncio_pulse.__all__) <= 20


def test_each_name_goes_through_one_door() -> None:
    doors = [set(public_names(door)) for door in DOORS]
    names = set().union(*doors)
    assert {name for name in names if sum(name in door for door in doors) > 1} == IN_TWO_DOORS


def test_a_name_of_two_doors_is_one_object() -> None:
    objects = {(name, id(value)) for door in DOORS for name, value in public_names(door).items()}
    assert len(objects) == len({name for name, _ in objects})


def api_program() -> str:
    """The program on the page of the API."""
    (program,) = re.findall(r"```python\n(.*?)```", API, flags=re.DOTALL)
    return str(program)


def test_the_page_of_the_api_shows_every_name_of_the_everyday_door() -> None:
    table, _, _ = API.partition("```python")
    for name in asyncio_pulse.__all__:
        assert re.search(rf"\b{name}\b", table), name
        assert f"pulse.{name}" in api_program(), name


def test_the_page_of_the_api_has_every_door() -> None:
    assert sorted(re.findall(r"automodule:: (\S+)", API)) == DOORS


def test_the_program_on_the_page_of_the_api_runs() -> None:
    # Nothing is preempted under a trace function, and nothing needs to be.
    done = subprocess.run(
        [sys.executable, "-c", api_program()], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("[2126, 2126] NORMAL\nTrue config 'stern' is neither")
    assert {line.rsplit(" ", 2)[0] for line in done.stdout.splitlines()[2:]} == {
        "parse",
        "report day",
        "report week",
        "main",
    }


@pytest.mark.parametrize("door", DOORS)
def test_every_public_name_is_documented(door: str) -> None:
    undocumented = []
    for name, value in public_names(door).items():
        if not (callable(value) or inspect.isclass(value)):
            continue
        if not inspect.getdoc(value):
            undocumented.append(name)
        # Only what a class defines itself: an override of a documented method inherits its text.
        for member in vars(value) if inspect.isclass(value) else ():
            attribute = inspect.getattr_static(value, member)
            if not member.startswith("_") and is_described(attribute) and not inspect.getdoc(attribute):
                undocumented.append(f"{name}.{member}")
    assert not undocumented


def is_described(attribute: object) -> bool:
    kinds = (staticmethod, classmethod, property)
    return isinstance(attribute, kinds) or inspect.isroutine(attribute) or inspect.isgetsetdescriptor(attribute)
