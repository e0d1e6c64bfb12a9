"""What every test gets: loops of both kinds, and a watch over what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, settings

import asyncio_pulse as pulse
from asyncio_pulse import _core
from asyncio_pulse.runtime.install import _installations
from tests.support.loops import LoopFactory, Run

# A thread or a process that was told to end may need a moment; the test itself need not wait for it.
GRACE_SECONDS = 5.0

ATTEMPTS = 3

FAILED = pytest.StashKey[bool]()

SIGNALS = tuple(map(int, signal.valid_signals()))

NEEDS_PREEMPTION = ("/test_preemption", "test_chaos.py::test_a_correct_program", "[preempt")

UNDER_ASAN = "asan" in os.environ.get("LD_PRELOAD", "")

# Properties are the same in every run, and no machine is too slow for them; where all is traced each example is dear.
settings.register_profile(
    "pulse",
    derandomize=True,
    deadline=None,
    max_examples=25 if UNDER_ASAN or sys.gettrace() is not None else 50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("pulse")
settings.register_profile("quick", max_examples=20)
settings.register_profile("whole", max_examples=200)


def pytest_configure() -> None:
    """Take back what a shell has ignored, SIGINT for background jobs and SIGHUP for nohup: children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if getattr(signal, "SIGHUP", None) and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        # Still without effect here, while children get the default action.
        signal.signal(signal.SIGHUP, lambda *_: None)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no file without one, where only tests that compare times are wanted: that is most of them."""
    is_file = config.option.markexpr == "timing" and collection_path.suffix == ".py"
    return True if is_file and "mark.timing" not in collection_path.read_text() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave preemption out where everything is traced, as for coverage: nothing is preempted there.

    What compares times gets more than one attempt, for the machine may be busy with something else; a safety test never.
    """
    traced = pytest.mark.skip(reason="nothing is preempted under a trace function, such as that of coverage")
    for item in items:
        if item.get_closest_marker("timing") is not None:
            item.add_marker(pytest.mark.flaky(reruns=ATTEMPTS - 1))
        if sys.gettrace() is not None and any(name in item.nodeid for name in NEEDS_PREEMPTION):
            item.add_marker(traced)


def _leave_out_of_collections() -> None:
    """Leave what is there by now out of collections: a full one took 150 ms, and hundreds of tests make one or more."""
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    """Leave out what was imported and collected."""
    _leave_out_of_collections()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Leave out what the tests of a file have left: their reports, and what hypothesis remembers."""
    if nextitem is None or nextitem.path != item.path:
        _leave_out_of_collections()


def pytest_report_header() -> list[str]:
    """Name the build of the core under test, so that nobody measures or sanitizes another one."""
    return [f"core: {_core.__file__}"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember whether a test failed: its traceback then keeps alive what the watch would complain about."""
    report = yield
    item.stash[FAILED] = report.failed or (report.when != "setup" and item.stash[FAILED])
    return report


def _uvloop_factory() -> asyncio.AbstractEventLoop:
    uvloop = pytest.importorskip("uvloop")
    return uvloop.new_event_loop()


@pytest.fixture(params=[asyncio.new_event_loop, _uvloop_factory], ids=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest) -> LoopFactory:
    """Make plain, ungoverned loops: the test runs once with asyncio's and once with uvloop's."""
    return request.param


@pytest.fixture
def any_loop(loop_factory: LoopFactory) -> Iterator[asyncio.AbstractEventLoop]:
    """Give a plain loop, not running, closed after the test, of asyncio and then of uvloop."""
    loop = loop_factory()
    yield loop
    assert loop.is_closed() or not isinstance(loop.get_task_factory(), _core.TaskFactory), "the loop is still governed"
    loop.close()


@pytest.fixture
def run(loop_factory: LoopFactory) -> Run:
    """Run a coroutine function on a governed loop, of asyncio and then of uvloop."""

    def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            pulse.run(main(), loop_factory=loop_factory)
        finally:
            # The errors that were expected hold frames, those the loop, and the loop the thread that samples it.
            gc.collect()

    return run


def _python_threads() -> set[threading.Thread]:
    # One that Python did not start has a name as soon as it asks for it, and for ever, as has one that is just ending.
    return {thread for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}


def _native_threads() -> set[int]:
    """Identify the core's own threads, which Python does not know; they carry our name. Only Linux tells."""
    found = set()
    if sys.platform == "linux":
        for thread in os.listdir("/proc/self/task"):
            try:
                with open(f"/proc/self/task/{thread}/comm") as file:
                    name = file.read()
            except OSError:  # it ended meanwhile
                continue
            if name.startswith("pulse"):
                found.add(int(thread))
    return found


def _children() -> set[int]:
    if hasattr(os, "waitid"):
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return set()
    found = set()
    for child in psutil.Process().children():
        try:
            # One tracker a process, started by multiprocessing on first use, ends with the process.
            if "multiprocessing.resource_tracker" not in " ".join(child.cmdline()):
                found.add(child.pid)
        except psutil.ZombieProcess:
            found.add(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def _signal_handlers() -> dict[int, object]:
    return {number: signal.getsignal(number) for number in SIGNALS}


def _governed_loops() -> set[asyncio.AbstractEventLoop]:
    loops = [installation.loop() for installation in list(_installations.values())]
    return {loop for loop in loops if loop is not None and not loop.is_closed()}


def _still_there(now: Callable[[], set[object]], before: set[object]) -> set[object]:
    deadline = time.monotonic() + GRACE_SECONDS
    while (left := now() - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


@pytest.fixture(autouse=True)
def nothing_outlives_the_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Assert that no thread, child process, signal handler or task factory outlives the test."""
    threads, native_threads, children = _python_threads(), _native_threads(), _children()
    handlers, loops = _signal_handlers(), _governed_loops()
    yield
    if request.node.stash.get(FAILED, False):
        return
    if _governed_loops() - loops:
        gc.collect()
        assert not _governed_loops() - loops, "a governed loop outlives the test"
    assert not _still_there(_python_threads, threads), "a thread outlives the test"
    assert not _still_there(_native_threads, native_threads), "a thread of the core outlives the test"
    assert not _still_there(_children, children), "a child process outlives the test"
    changes = {number: (handlers[number], now) for number, now in _signal_handlers().items() if now != handlers[number]}
    # That is how a loop goes, which an earlier test that failed has left.
    going = (_core.on_preempt_signal, signal.SIG_DFL)
    assert set(changes.values()) <= {going}, f"a signal handler outlives the test: {changes}"
