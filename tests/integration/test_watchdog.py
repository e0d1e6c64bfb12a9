"""The watchdog: what it costs, what it survives, and what it sees of stalls that the corpus of culprits does not show."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import selectors
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import _core as core
from asyncio_pulse.metrics import LoopMetrics, Stall
from tests.support.loops import LoopFactory

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what a thread used")


def burn(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def run_ns(thread: int | str) -> int:
    return int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[0])


def watchdog_thread() -> str:
    for thread in os.listdir("/proc/self/task"):
        if Path(f"/proc/self/task/{thread}/comm").read_text().startswith("pulse-watchdog"):
            return thread
    raise AssertionError("there is no watchdog")


class Sleeper(threading.Thread):
    """Does nothing but wake as often as the watchdog, until it is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.11):
            pass


@pytest.mark.timing
@ON_LINUX
def test_an_idle_watchdog_hardly_wakes_and_hardly_works(loop_factory: LoopFactory) -> None:
    async def idle() -> tuple[float, float]:
        sleeper = Sleeper()
        sleeper.start()
        threads = (watchdog_thread(), sleeper.native_id or 0)
        await asyncio.sleep(0.1)
        began, wakes, used = time.monotonic(), core.watchdog_wake_ups(), [run_ns(thread) for thread in threads]
        await asyncio.sleep(1.5)
        passed = time.monotonic() - began
        of_watchdog, of_sleeper = (run_ns(thread) - before for thread, before in zip(threads, used, strict=True))
        sleeper.stopped.set()
        sleeper.join()
        return (core.watchdog_wake_ups() - wakes) / passed, of_watchdog / of_sleeper

    wakes_per_second, times_a_sleeper = pulse.run(idle(), loop_factory=loop_factory)
    assert 5 < wakes_per_second <= 10
    # Waking takes most of the time.
    assert times_a_sleeper < 3


def stalls_after(loop_factory: LoopFactory, block: object) -> tuple[Stall, ...]:
    async def main() -> tuple[Stall, ...]:
        await asyncio.sleep(0.06)
        block()  # type: ignore[operator]
        await asyncio.sleep(0.12)
        assert pulse.get_manager().get_metrics().internal_errors == 0
        return pulse.get_manager().report().stalls

    return pulse.run(main(), loop_factory=loop_factory)


@pytest.mark.timing
@ON_LINUX
def test_c_code_that_keeps_the_gil_is_seen_when_it_lets_go(loop_factory: LoopFactory) -> None:
    # PyDLL calls without letting go of the GIL.
    usleep = ctypes.PyDLL(None).usleep
    [stall] = stalls_after(loop_factory, lambda: usleep(5_000_000))
    assert stall.function.endswith("<lambda>")
    assert stall.gil_held_ns > stall.wall_ns * 0.8


@pytest.mark.timing
def test_a_short_block_is_no_stall(loop_factory: LoopFactory) -> None:
    assert stalls_after(loop_factory, lambda: burn(0.03)) == ()


@pytest.mark.timing
@ON_LINUX
def test_a_stall_of_twice_the_threshold_is_not_missed(loop_factory: LoopFactory) -> None:
    async def main() -> tuple[Stall, ...]:
        # Before each a different time, so that the watchdog is met at different moments of its sleep.
        for milliseconds in range(10, 130, 10):
            await asyncio.sleep(milliseconds / 1000)
            time.sleep(0.205)
        await asyncio.sleep(0.06)
        return pulse.get_manager().report().stalls

    seen = sum(stall.count for stall in pulse.run(main(), loop_factory=loop_factory))
    # The others are what a busy machine may take.
    assert seen >= 10


@pytest.mark.timing
def test_a_stall_is_seen_while_it_lasts(loop_factory: LoopFactory) -> None:
    seen: list[Stall] = []

    async def main() -> None:
        manager = pulse.get_manager()
        await asyncio.sleep(0.06)

        def ask() -> None:
            deadline = time.monotonic() + 5
            while not seen and time.monotonic() < deadline:
                time.sleep(0.02)
                seen.extend(manager.report().stalls)
            over.set()

        over = threading.Event()
        thread = threading.Thread(target=ask)
        thread.start()
        over.wait(10)
        thread.join()

    pulse.run(main(), loop_factory=loop_factory)
    assert seen[0].stall_class == "blocked"
    assert any(frame.function.endswith("main") for frame in seen[0].stack)


def test_a_stopped_loop_is_not_stalled(any_loop: asyncio.AbstractEventLoop) -> None:
    manager = pulse.install(loop=any_loop)
    for _ in range(2):
        any_loop.run_until_complete(asyncio.sleep(0.06))
        time.sleep(0.4)
    assert manager.report().stalls == ()
    pulse.uninstall(loop=any_loop)


@pytest.mark.timing
def test_a_threshold_decides_what_a_stall_is(loop_factory: LoopFactory) -> None:
    async def main() -> tuple[Stall, ...]:
        manager = pulse.get_manager()
        manager.update_config(pulse.TierConfig(stall_threshold_ms=2_000))
        await asyncio.sleep(0.06)
        burn(0.4)
        await asyncio.sleep(0.12)
        return manager.report().stalls

    assert pulse.run(main(), loop_factory=loop_factory) == ()


@pytest.mark.timing
def test_utilisation_and_lag_are_those_of_the_loop(loop_factory: LoopFactory) -> None:
    async def main() -> tuple[LoopMetrics, LoopMetrics]:
        manager = pulse.get_manager()
        await asyncio.sleep(0.3)
        idle = manager.report().loop_metrics[0]
        for _ in range(6):
            burn(0.06)
            await asyncio.sleep(0.06)
        return idle, manager.report().loop_metrics[0]

    idle, worked = pulse.run(main(), loop_factory=loop_factory)
    assert idle.utilisation_ratio < 0.5 * worked.utilisation_ratio
    busy_share = (worked.busy_ns - idle.busy_ns) / (worked.watched_ns - idle.watched_ns)
    assert 0.3 < busy_share < 0.8
    assert worked.max_lag_ns > 10 * idle.p50_lag_ns
    assert worked.p50_lag_ns <= worked.p99_lag_ns <= worked.max_lag_ns
    assert worked.turns > idle.turns


def test_the_selector_is_itself_again_after_uninstall() -> None:
    loop = asyncio.new_event_loop()
    selector = loop._selector  # type: ignore[attr-defined]
    plain = vars(selector).copy()
    pulse.install(loop=loop)
    assert vars(selector) != plain
    loop.run_until_complete(asyncio.sleep(0.01))
    pulse.uninstall(loop=loop)
    assert vars(selector) == plain
    assert loop._selector is selector  # type: ignore[attr-defined]
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()


def test_a_wrapper_round_select_set_later_stays() -> None:
    loop = asyncio.new_event_loop()
    selector = loop._selector  # type: ignore[attr-defined]
    pulse.install(loop=loop)
    ours, calls = selector.select, []

    def theirs(timeout: float | None = None) -> object:
        calls.append(timeout)
        return ours(timeout)

    selector.select = theirs
    pulse.uninstall(loop=loop)
    loop.run_until_complete(asyncio.sleep(0.01))
    assert selector.select is theirs
    assert calls
    loop.close()


class SelectOnly(selectors.SelectSelector):
    """A selector with no epoll object beneath it."""


def test_a_selector_without_epoll_is_watched_by_its_select() -> None:
    selector = SelectOnly()
    loop = asyncio.SelectorEventLoop(selector)
    manager = pulse.install(loop=loop)
    loop.run_until_complete(asyncio.sleep(0.01))
    assert "select" in vars(selector)
    assert manager.report().loop_metrics[0].turns > 0
    pulse.uninstall(loop=loop)
    assert "select" not in vars(selector)
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()


def test_a_loop_whose_selector_is_out_of_sight_runs_and_is_not_said_to_be_idle() -> None:
    class Before:
        """Stands before a selector, and can be given no attribute."""

        __slots__ = ("selector",)

        def __init__(self) -> None:
            self.selector = selectors.DefaultSelector()

        def __getattr__(self, name: str) -> object:
            return getattr(self.selector, name)

    loop = asyncio.SelectorEventLoop(Before())  # type: ignore[arg-type]
    manager = pulse.install(loop=loop)
    loop.run_until_complete(asyncio.sleep(0.01))
    metrics = manager.report().loop_metrics[0]
    assert (metrics.watched, metrics.turns) == (False, 0)
    assert manager.get_metrics().polls > 0
    pulse.uninstall(loop=loop)
    loop.close()


def test_the_watched_epoll_object_does_what_the_selector_asks_of_it() -> None:
    loop = asyncio.new_event_loop()
    selector = loop._selector  # type: ignore[attr-defined]
    epoll = selector._selector
    pulse.install(loop=loop)
    assert selector._selector is not epoll
    reader, writer = socket.socketpair()
    seen: list[str] = []
    with reader, writer:
        loop.add_reader(reader, lambda: seen.append("read"))
        loop.add_writer(reader, lambda: (seen.append("written"), loop.remove_writer(reader)))
        writer.send(b"x")
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.remove_reader(reader)
    assert {"read", "written"} <= set(seen)
    assert selector.fileno() == epoll.fileno()
    assert not selector._selector.closed
    loop.close()
    assert epoll.closed
    assert selector._selector is None or selector._selector.closed


@pytest.mark.timing
def test_a_loop_in_another_thread_is_watched_there(loop_factory: LoopFactory) -> None:
    found: list[Stall] = []
    thread = threading.Thread(target=lambda: found.extend(stalls_after(loop_factory, lambda: time.sleep(0.4))))
    thread.start()
    thread.join()
    gc.collect()
    assert [stall.stall_class for stall in found] == ["blocked"]
    assert found[0].function.endswith("<lambda>")


@ON_LINUX
def test_a_loop_that_goes_on_in_another_thread_is_looked_at_there() -> None:
    loop = pulse.new_event_loop()

    async def stall() -> None:
        burn(0.3)
        await asyncio.sleep(0.01)

    # Each has the slot of the one before, which is over, but another number. In a pause of the machine one may be missed.
    for _ in range(4):
        thread = threading.Thread(target=lambda: loop.run_until_complete(stall()))
        thread.start()
        thread.join()
    stalls = pulse.get_manager(loop=loop).report().stalls
    assert stalls
    assert "unknown" not in {each.stall_class for each in stalls}, stalls
    pulse.uninstall(loop=loop)
    loop.close()


SERVICE = """
    import asyncio, sys, time
    import asyncio_pulse as pulse

    async def main():
        await asyncio.sleep(0.2)
        print("ready", flush=True)
        await asyncio.sleep(0.6)
        manager = pulse.get_manager()
        seen, end = [], time.monotonic() + 20
        while not seen and time.monotonic() < end:
            # On a busy machine the watchdog may miss one.
            time.sleep(0.4)
            await asyncio.sleep(0.2)
            seen = [stall.function for stall in manager.report().stalls if stall.stall_class == "blocked"]
        assert manager.get_metrics().internal_errors == 0
        print(seen)

    pulse.run(main())
"""


def test_it_survives_being_stopped_as_a_debugger_does() -> None:
    command = [sys.executable, "-c", textwrap.dedent(SERVICE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        process.send_signal(signal.SIGCONT)
        assert "'main'" in process.stdout.read()
    assert process.returncode == 0


def test_it_survives_a_debugger(tmp_path: Path) -> None:
    program = tmp_path / "service.py"
    program.write_text(textwrap.dedent(SERVICE))
    command = [sys.executable, "-m", "pdb", "-c", "break 6", "-c", "continue", "-c", "continue", str(program)]
    done = subprocess.run(command, input="continue\nquit\n", capture_output=True, text=True, timeout=60, check=False)
    assert "ready" in done.stdout
    assert "'main'" in done.stdout, done.stdout + done.stderr
