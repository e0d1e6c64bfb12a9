"""A profiler counts the calls that it counts without preemption: it follows one stack, so nobody runs on another."""

from __future__ import annotations

import asyncio
import contextlib
import cProfile
import pstats
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import _core
from tests.support.loops import LoopFactory
from tests.support.preempting import AT_ONCE_US, preemptions, refused, run_preempting, until_preempted

CALLS = 50_000
TASKS = 2


def inner(number: int) -> int:
    return number * 31 % 1_000_003


async def computing() -> None:
    for number in range(CALLS):
        inner(number)
        if number % 25_000 == 0:
            await asyncio.sleep(0)


async def governed() -> int:
    await asyncio.gather(*(pulse.spawn(computing(), preemptible=True) for _ in range(TASKS)))
    return preemptions()


async def plain() -> int:
    await asyncio.gather(*(computing() for _ in range(TASKS)))
    return 0


async def while_preempting() -> None:
    """Let the same work be preempted, which a busy machine may delay."""
    before = preemptions()
    while await governed() == before:
        pass


def preempting() -> int:
    return run_preempting(governed(), poll_budget_us=AT_ONCE_US)


def calls_under_cprofile(run: Callable[[], int]) -> dict[str, tuple[int, int]]:
    """Those that no other one of the same function encloses, and all."""
    profile = cProfile.Profile()
    assert profile.runcall(run) == 0
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    return {place[2]: numbers[:2] for place, numbers in stats.items() if place[2] in ("inner", "computing")}


def events_of_a_profile_function(run: Callable[[], int]) -> Counter[str]:
    """What yappi is told, and how deep the calls are then."""
    seen: Counter[str] = Counter()
    depth = 0

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal depth
        if frame.f_code in (inner.__code__, computing.__code__):
            depth += {"call": 1, "return": -1}.get(event, 0)
            seen[f"{event} of {frame.f_code.co_name} at {depth}"] += 1

    sys.setprofile(profile)
    try:
        assert run() == 0
    finally:
        sys.setprofile(None)
    return seen


def test_cprofile_counts_the_same_calls() -> None:
    run_preempting(while_preempting(), poll_budget_us=AT_ONCE_US)
    seen = calls_under_cprofile(preempting)
    assert seen == calls_under_cprofile(lambda: asyncio.run(plain()))
    assert seen["inner"] == (TASKS * CALLS, TASKS * CALLS)


def test_a_profile_function_sees_whole_calls() -> None:
    seen = events_of_a_profile_function(preempting)
    assert seen == events_of_a_profile_function(lambda: asyncio.run(plain()))
    assert seen["call of inner at 2"] == seen["return of inner at 1"] == TASKS * CALLS


@contextlib.contextmanager
def profile_function() -> Iterator[None]:
    sys.setprofile(lambda *_: None)
    try:
        yield
    finally:
        sys.setprofile(None)


@contextlib.contextmanager
def monitoring_tool(number: int) -> Iterator[None]:
    if sys.version_info >= (3, 12):
        sys.monitoring.use_tool_id(number, "of the test")
        try:
            yield
        finally:
            sys.monitoring.free_tool_id(number)


PROFILERS = [pytest.param(profile_function, id="profile function"), pytest.param(cProfile.Profile, id="cProfile")]
if sys.version_info >= (3, 12):
    PROFILERS += [
        pytest.param(lambda: monitoring_tool(sys.monitoring.PROFILER_ID), id="profiler of sys.monitoring"),
        pytest.param(lambda: monitoring_tool(sys.monitoring.DEBUGGER_ID), id="debugger of sys.monitoring"),
    ]


@pytest.mark.parametrize("profiler", PROFILERS)
def test_nothing_is_preempted_under_it(profiler: Callable[[], contextlib.AbstractContextManager[object]]) -> None:
    async def main() -> None:
        with profiler():
            assert await governed() == 0
        # The first poll that may be preempted would have started it.
        assert not _core.preemption_facts()["active"]
        await while_preempting()

    # With "off" only who opted in may be preempted, so nothing was started before.
    run_preempting(main(), poll_budget_us=AT_ONCE_US, preempt="off")


@pytest.mark.parametrize("profiler", PROFILERS)
def test_a_task_that_was_preempted_before_is_not_left_until_it_has_gone(
    loop_factory: LoopFactory, profiler: Callable[[], contextlib.AbstractContextManager[object]]
) -> None:
    rounds = 0

    async def in_rounds(done: asyncio.Event) -> None:
        nonlocal rounds
        while not done.is_set():
            for number in range(20_000):
                inner(number)
            rounds += 1
            await asyncio.sleep(0)

    async def main() -> None:
        done = asyncio.Event()
        task = pulse.spawn(in_rounds(done), preemptible=True)
        await until_preempted(20)
        with profiler():
            before, until = preemptions(), rounds + 10
            while rounds < until:
                await asyncio.sleep(0)
            assert refused("traced") > 0
            assert preemptions() == before
        await until_preempted(before + 20)
        done.set()
        await task

    run_preempting(main(), loop_factory, poll_budget_us=AT_ONCE_US)
