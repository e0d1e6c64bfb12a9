"""Who is served first: holders, whoever is awaited, services; and the share of the isolated."""

from __future__ import annotations

import asyncio
import contextlib
import time
import types
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import GroupPolicy, TaskPriority
from asyncio_pulse.config import InterventionAction, SlowQueueConfig
from asyncio_pulse.runtime.loop_values import slow_queue
from tests.support.loops import LoopFactory
from tests.support.offenders import burn, offend, parking_config, run, spawn_offender, strict_config, tier_of

SLICE_US = 1_000
OTHERS = 200
FUNCTIONS = 200


async def slices_until(awaited: Callable[[list[int]], Awaitable[object]], others: int = OTHERS) -> int:
    """Count the slices of so many offenders that run until something has happened."""
    slices = [0]
    over = asyncio.Event()

    async def hog() -> None:
        while not over.is_set():
            slices[0] += 1
            burn(SLICE_US)
            await asyncio.sleep(0)

    hogs = [spawn_offender(hog()) for _ in range(others)]
    await awaited(slices)
    over.set()
    await asyncio.gather(*hogs)
    return slices[0]


def test_a_holder_is_served_before_others(loop_factory: LoopFactory) -> None:
    """A critical task waits for a semaphore that five offenders hold, while two hundred others wait for their turn."""

    async def main() -> int:
        semaphore, all_hold = asyncio.Semaphore(5), asyncio.Event()
        took: list[int] = []

        async def hold() -> None:
            async with semaphore:
                await all_hold.wait()
                for _ in range(3):
                    await asyncio.sleep(0)

        async def get(slices: list[int]) -> None:
            holders = [spawn_offender(hold()) for _ in range(5)]
            while not semaphore.locked():
                await asyncio.sleep(0)

            async def critical() -> None:
                before = slices[0]
                all_hold.set()
                async with semaphore:
                    took.append(slices[0] - before)

            await spawn_offender(critical(), group="critical", priority=TaskPriority.CRITICAL)
            await asyncio.gather(*holders)

        await slices_until(get)
        return took[0]

    plain = run(loop_factory, main)
    governed = run(loop_factory, main, strict_config())
    # Three resumptions of a holder, at most a few slices each, against a round of everybody for each of them.
    assert governed <= plain / 10
    assert governed <= 20


def test_each_function_is_judged_by_its_own_code(loop_factory: LoopFactory) -> None:
    """What was found out about functions is kept, of many more than are looked up fast, and of each for itself."""

    async def main() -> list[str]:
        order: list[str] = []
        ready: list[str] = []
        gate = asyncio.Event()

        @contextlib.asynccontextmanager
        async def held() -> AsyncIterator[None]:
            yield

        async def hold() -> None:
            async with held():
                ready.append("holder")
                await gate.wait()
            order.append("holder")
            burn(SLICE_US / 10)

        async def hold_nothing() -> None:
            ready.append("other")
            await gate.wait()
            order.append("other")
            burn(SLICE_US / 10)

        def copy_of(function: Any) -> Any:
            return types.FunctionType(function.__code__.replace(), globals(), closure=function.__closure__)

        functions = [copy_of(function) for _ in range(FUNCTIONS) for function in (hold_nothing, hold)]
        tasks = [spawn_offender(function()) for function in functions]
        while len(ready) < len(tasks):
            await asyncio.sleep(0)
        gate.set()
        await asyncio.wait(tasks)
        return order

    order = run(loop_factory, main, strict_config())
    # Some go on at once, while the allowance of that turn lasts.
    assert order[:FUNCTIONS].count("holder") >= FUNCTIONS * 0.9


def test_whoever_is_awaited_need_not_wait(loop_factory: LoopFactory) -> None:
    """The task is an offender, and who awaits it is none; it may be parked already when that begins."""

    async def main() -> list[int]:
        took: list[int] = []

        async def work() -> str:
            for _ in range(5):
                await asyncio.sleep(0)
            return "result"

        async def get(slices: list[int]) -> None:
            for head_start in (0, 3):
                task = spawn_offender(work())
                for _ in range(head_start):
                    await asyncio.sleep(0)
                before = slices[0]
                assert await task == "result"
                took.append(slices[0] - before)

        await slices_until(get, 50)
        return took

    async def governed_main() -> tuple[list[int], int]:
        before = slow_queue(pulse.get_manager().governor).lifted
        return await main(), slow_queue(pulse.get_manager().governor).lifted - before

    plain = run(loop_factory, main)
    governed, lifted = run(loop_factory, governed_main, strict_config())
    assert lifted > 0
    assert all(mine <= others / 5 for mine, others in zip(governed, plain, strict=True)), (governed, plain)


def test_an_offender_lifts_nobody(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async def wait() -> None:
            await spawn_offender(asyncio.sleep(0))

        before = slow_queue(pulse.get_manager().governor).lifted
        await asyncio.wait([spawn_offender(wait()) for _ in range(20)])
        assert slow_queue(pulse.get_manager().governor).lifted == before

    run(loop_factory, main, parking_config())


def test_a_service_is_never_parked(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        manager = pulse.get_manager()

        async def read() -> None:
            for _ in range(20):
                burn(SLICE_US)
                await asyncio.sleep(0)

        before = slow_queue(manager.governor)
        await asyncio.wait([pulse.spawn(read(), group="readers", max_tier=InterventionAction.WARN) for _ in range(3)])
        after = slow_queue(manager.governor)
        assert (after.parked, after.admitted) == (before.parked, before.admitted)
        await asyncio.wait([pulse.spawn(read(), group="others") for _ in range(3)])
        assert slow_queue(manager.governor).parked > after.parked

    run(loop_factory, main, parking_config())


ISOLATING = {"worst": GroupPolicy(max_tier=InterventionAction.ISOLATE)}
SHARE = 0.2


async def run_for(cpu_ms: int, groups: tuple[str, ...]) -> dict[str, int]:
    """Let three hogs of each group run for so much CPU time of the thread; the slices that each group had."""
    slices = dict.fromkeys(groups, 0)
    end_ns = time.thread_time_ns() + cpu_ms * 1_000_000

    async def hog(group: str) -> None:
        while time.thread_time_ns() < end_ns:
            slices[group] += 1
            burn(SLICE_US)
            await asyncio.sleep(0)

    await asyncio.wait([pulse.spawn(hog(group), group=group) for group in groups for _ in range(3)])
    return slices


@pytest.mark.timing
def test_the_isolated_keep_to_their_share_and_are_not_starved(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        await offend("worst", InterventionAction.ISOLATE)
        assert tier_of("worst") == InterventionAction.ISOLATE
        slices = await run_for(1_000, ("worst", "offenders"))
        share = slices["worst"] / sum(slices.values())
        assert SHARE / 1.5 <= share <= SHARE * 1.5, slices
        metrics = slow_queue(pulse.get_manager().governor)
        assert sum(metrics.isolated.served) > 0

    settings = SlowQueueConfig(isolated_loop_share=SHARE)
    run(loop_factory, main, strict_config(groups=ISOLATING, slow_queue=settings, poll_budget_us=SLICE_US // 2))


@pytest.mark.timing
def test_the_isolated_have_an_idle_loop_to_themselves(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        await offend("worst", InterventionAction.ISOLATE)
        before = pulse.get_manager().report().loop_metrics[0]
        slices = await run_for(200, ("worst",))
        after = pulse.get_manager().report().loop_metrics[0]
        # In 200 ms of the thread's time, nearly all the slices that fit.
        assert slices["worst"] > 0.7 * 200 * 1_000 / SLICE_US
        assert (after.busy_ns - before.busy_ns) / (after.watched_ns - before.watched_ns) > 0.9

    run(loop_factory, main, strict_config(groups=ISOLATING))


@pytest.mark.timing
@pytest.mark.parametrize("share", [0.0])
def test_the_isolated_without_a_share_get_one_slice_each_threshold(loop_factory: LoopFactory, share: float) -> None:
    async def main() -> None:
        await offend("worst", InterventionAction.ISOLATE)
        slices = await run_for(500, ("worst", "offenders"))
        assert slices["worst"] >= 2
        assert slices["worst"] < slices["offenders"] / 5

    settings = SlowQueueConfig(isolated_loop_share=share, starvation_threshold_ms=50)
    run(loop_factory, main, strict_config(groups=ISOLATING, slow_queue=settings))
