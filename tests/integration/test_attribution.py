"""Whose stall it is: a late stack is given to nobody, a wait for the GIL is seen in the selector, short calls add up."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import re
import sys
import threading
import time
from collections.abc import Awaitable, Callable

import pytest

import asyncio_pulse as pulse
from asyncio_pulse.metrics import Stall
from tests.support.loops import LoopFactory
from tests.support.traffic import burn

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the class of a stall is unknown"),
    # A pause of the machine is a stall, too.
    pytest.mark.timing,
]

KEPT_US = 900_000


def keep_gil() -> None:
    """Keep the GIL in C code, as the last thing: the interpreter gives it away in later code only."""
    usleep = ctypes.PyDLL(None).usleep
    # The iterator sleeps and ends within one instruction, and nothing is checked at its end.
    for _ in filter(usleep, [KEPT_US]):
        pass


def compute_with_gil() -> None:
    """Keep the GIL likewise, but compute: a signal that asks for preemption would end a sleep."""
    for _ in filter(re.compile(r"(a+)+$").match, ["a" * 24 + "b"]):
        pass


def stalls_of(main: Callable[[], Awaitable[object]], loop_factory: LoopFactory) -> tuple[Stall, ...]:
    """Run a coroutine on a governed loop on which another task ticks, and return the stalls."""
    managers: list[pulse.TierManager] = []

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.002)

    async def start() -> None:
        managers.append(pulse.get_manager())
        ticking = pulse.spawn(tick(), group="innocent")
        await asyncio.sleep(0.06)
        await main()
        await asyncio.sleep(0.2)
        ticking.cancel()

    pulse.run(start(), loop_factory=loop_factory)
    assert managers[0].get_metrics().internal_errors == 0
    return managers[0].report().stalls


def functions(stalls: tuple[Stall, ...]) -> set[str]:
    return {frame.function.rpartition(".")[2] for stall in stalls for frame in (*stall.stack, stall)}


@pytest.mark.parametrize("preemptible", [False, True])
def test_a_poll_that_ended_before_the_gil_came_has_its_stall(preemptible: bool, loop_factory: LoopFactory) -> None:
    async def culprit() -> None:
        (compute_with_gil if preemptible else keep_gil)()

    async def main() -> None:
        for _ in range(3):
            await pulse.spawn(culprit(), group="culprit", name="the culprit", preemptible=preemptible)
            await asyncio.sleep(0.01)

    stalls = stalls_of(main, loop_factory)
    assert {(stall.group, stall.task) for stall in stalls} == {("culprit", "the culprit")}
    assert functions(stalls) <= {"culprit", "keep_gil", "compute_with_gil"}


def test_a_governed_call_that_ended_before_the_gil_came_has_its_stall(loop_factory: LoopFactory) -> None:
    @pulse.governed(group="culprit")
    async def culprit() -> None:
        keep_gil()

    async def main() -> None:
        for _ in range(3):
            await culprit()
            await asyncio.sleep(0.01)

    stalls = stalls_of(main, loop_factory)
    assert {stall.group for stall in stalls} == {"culprit"}
    assert functions(stalls) <= {"culprit", "keep_gil"}


def test_the_stall_of_a_callback_is_not_given_to_the_task_after_it(loop_factory: LoopFactory) -> None:
    usleep = ctypes.PyDLL(None).usleep

    async def next_task() -> None:
        pass

    async def main() -> None:
        for _ in range(3):
            # No Python code of the callback is left when it is over.
            asyncio.get_running_loop().call_soon(usleep, KEPT_US)
            await asyncio.create_task(next_task())
            await asyncio.sleep(0.05)

    stalls = stalls_of(main, loop_factory)
    assert {(stall.group, stall.task) for stall in stalls} == {("(callbacks)", "")}
    assert not functions(stalls) & {"tick", "main", "start", "next_task"}


def test_a_function_that_has_just_begun_does_not_have_the_stall(loop_factory: LoopFactory) -> None:
    def innocent() -> None:
        pass

    def culprit() -> None:
        keep_gil()
        innocent()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(2):
            loop.call_soon(ctypes.PyDLL(None).usleep, KEPT_US)
            loop.call_soon(innocent)
            await asyncio.sleep(0.05)
            culprit()
            await asyncio.sleep(0.05)

    stalls = stalls_of(main, loop_factory)
    assert "culprit" in functions(stalls)
    assert "innocent" not in functions(stalls)


def test_a_thread_that_keeps_the_gil_while_the_loop_waits_makes_a_stall(loop_factory: LoopFactory) -> None:
    def keep() -> None:
        # The loop is in its selector by then. This computes in C code, without a look at other threads.
        time.sleep(0.1)
        sum(range(40_000_000))
        # A thread that has ended cannot be named.
        time.sleep(0.3)

    async def main() -> None:
        for _ in range(3):
            thread = threading.Thread(target=keep, name="the keeper")
            thread.start()
            while thread.is_alive():
                await asyncio.sleep(0.005)
            thread.join()

    stalls = stalls_of(main, loop_factory)
    waits = [stall for stall in stalls if stall.function == "(event loop)"]
    assert {(stall.stall_class, stall.group) for stall in waits} == {("gil", "(callbacks)")}, stalls
    # On a busy machine the thread may not come to rest while it is looked at. Then nobody is named.
    assert all("the keeper" in stall.culprit or "not known which" in stall.culprit for stall in waits), stalls


def test_an_idle_loop_beside_a_thread_that_computes_is_no_stall(loop_factory: LoopFactory) -> None:
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            sum(range(1000))

    async def main() -> None:
        await asyncio.sleep(1.5)

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        stalls = stalls_of(main, loop_factory)
    finally:
        over.set()
        thread.join()
    assert [stall for stall in stalls if stall.within_ns] == []


@pytest.mark.parametrize("way", ["polls", "callbacks"])
def test_short_blocking_calls_add_up(way: str, loop_factory: LoopFactory, caplog: pytest.LogCaptureFixture) -> None:
    def short_call() -> None:
        time.sleep(0.01)

    async def polls() -> None:
        for _ in range(300):
            short_call()
            await asyncio.sleep(0)

    async def callbacks() -> None:
        for _ in range(300):
            asyncio.get_running_loop().call_soon(short_call)
            await asyncio.sleep(0)

    stalls = [
        stall for stall in stalls_of({"polls": polls, "callbacks": callbacks}[way], loop_factory) if stall.within_ns
    ]
    assert {(stall.stall_class, stall.function.rpartition(".")[2]) for stall in stalls} == {("blocked", "short_call")}
    assert all(stall.wall_ns * 2 > stall.within_ns for stall in stalls)
    texts = [record.getMessage() for record in caplog.records if record.name == "asyncio_pulse.stalls"]
    assert any("the loop was blocked for" in text and "short_call" in text for text in texts)


def test_short_computations_do_not_add_up_to_blocking(
    loop_factory: LoopFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    async def main() -> None:
        for _ in range(250):
            burn(10)
            await asyncio.sleep(0)

    assert [stall for stall in stalls_of(main, loop_factory) if stall.within_ns] == []


def test_a_loop_that_goes_round_is_named_by_what_is_awaited_innermost() -> None:
    async def go_round(end: float) -> None:
        while time.monotonic() < end:
            await asyncio.sleep(0)

    async def outer(end: float) -> None:
        await go_round(end)

    async def main() -> None:
        pulse.get_manager().update_config(pulse.TierConfig(stall_threshold_ms=50))
        await pulse.spawn(outer(time.monotonic() + 2), group="culprit")

    awaits = go_round.__code__.co_firstlineno + 2
    stalls = stalls_of(main, asyncio.new_event_loop)
    spins = [stall for stall in stalls if stall.stall_class == "spinning" and stall.group == "culprit"]
    assert spins
    assert {"go_round", "outer"} <= functions(tuple(spins))
    lines = {frame.line for stall in spins for frame in stall.stack if frame.function.endswith("go_round")}
    assert lines == {awaits}
