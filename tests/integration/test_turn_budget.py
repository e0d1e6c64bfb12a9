"""Overlong turns: while somebody urgent lives, ordinary polls beyond the budget of a turn wait for a later one."""

from __future__ import annotations

import asyncio
import gc
import statistics
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import TaskPriority, TierConfig
from asyncio_pulse.config import SlowQueueConfig
from asyncio_pulse.runtime.loop_values import slow_queue
from tests.support.loops import LoopFactory
from tests.support.offenders import burn

T = TypeVar("T")
BUDGET_MS = 5
POLL_US = 500
OTHERS = 200


def config(budget_ms: int = BUDGET_MS, **settings: Any) -> TierConfig:
    """Nobody is ever an offender, whatever the machine does."""
    slow_queue = SlowQueueConfig(turn_budget_ms=budget_ms, **settings)
    # Suspended tasks wait in the slow queue, too, and are not what is counted here.
    return TierConfig(poll_budget_us=10_000_000, slow_queue=slow_queue, preempt="off")


def run(make_loop: LoopFactory, main: Callable[[], Coroutine[Any, Any, T]], budget_ms: int = BUDGET_MS) -> T:
    async def check() -> T:
        result = await main()
        metrics = slow_queue(pulse.get_manager().governor)
        assert pulse.get_manager().get_metrics().internal_errors == 0
        assert metrics.parked == metrics.slices == 0
        assert metrics.overlong_turns.queued == (0, 0, 0, 0)
        return result

    return pulse.run(check(), config=config(budget_ms), loop_factory=make_loop)


def held() -> int:
    """How many polls had to wait for another turn and did not get it yet, or did."""
    queue = slow_queue(pulse.get_manager().governor).overlong_turns
    return sum(queue.served) + sum(queue.queued)


class Crowd:
    """So many tasks that burn and give way, until told to end."""

    def __init__(self, tasks: int = OTHERS, cpu_us: float = POLL_US, **options: Any) -> None:
        self.polls = [0] * tasks
        self._over = False
        self._cpu_us = cpu_us
        self.tasks = [pulse.spawn(self._work(number), **options) for number in range(tasks)]

    async def _work(self, number: int) -> None:
        while not self._over:
            self.polls[number] += 1
            burn(self._cpu_us)
            await asyncio.sleep(0)

    async def end(self) -> None:
        self._over = True
        await asyncio.gather(*self.tasks)


async def until_held(more: int = 1) -> None:
    """Go on as soon as so many more had to wait; for a task that need not."""
    before = held()
    while held() < before + more:
        await asyncio.sleep(0)


async def polls_while_late(crowd: Crowd, beats: int = 5) -> list[int]:
    """How many polls of a crowd run until a timer of two of them wakes a task; ascending."""
    late = []
    for _ in range(beats):
        before = sum(crowd.polls)
        await asyncio.sleep(2 * POLL_US / 1e6)
        late.append(sum(crowd.polls) - before)
    return sorted(late)


@pytest.mark.timing
@pytest.mark.parametrize("priority", [TaskPriority.HIGH, TaskPriority.CRITICAL])
def test_an_urgent_task_waits_for_a_few_polls_and_not_for_everybody(
    loop_factory: LoopFactory, priority: TaskPriority
) -> None:
    async def main() -> float:
        crowd = Crowd()
        late = await pulse.spawn(polls_while_late(crowd), priority=priority)
        await crowd.end()
        return statistics.median(late)

    without = run(loop_factory, main, budget_ms=0)
    within = run(loop_factory, main)
    assert without >= OTHERS
    # Of its own turn, of the one that asks the selector, and of the one that it runs in: ten polls each.
    assert within <= 4 * BUDGET_MS * 1_000 / POLL_US
    assert within < without / 5


@pytest.mark.timing
@pytest.mark.parametrize(("tasks", "cpu_us"), [(200, 200), (2_000, 20)])
def test_equal_tasks_stay_equal(loop_factory: LoopFactory, tasks: int, cpu_us: int) -> None:
    async def main() -> list[int]:
        crowd = Crowd(tasks, cpu_us)
        urgent = pulse.spawn(asyncio.Event().wait(), priority=TaskPriority.HIGH)
        while max(crowd.polls) < 10:
            await asyncio.sleep(0)
        polls = list(crowd.polls)
        assert held() > 2 * tasks
        urgent.cancel()
        await crowd.end()
        return polls

    polls = run(loop_factory, main)
    assert min(polls) / statistics.median(polls) >= 0.8


def test_low_and_normal_ones_wait_in_one_line(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        urgent = pulse.spawn(asyncio.Event().wait(), priority=TaskPriority.HIGH)
        crowds = [Crowd(20, POLL_US, priority=priority) for priority in (TaskPriority.NORMAL, TaskPriority.LOW)]
        while max(crowds[0].polls) < 10:
            await asyncio.sleep(0)
        assert held() > 100
        assert min(crowds[1].polls) >= 8
        urgent.cancel()
        for crowd in crowds:
            await crowd.end()

    run(loop_factory, main)


@pytest.mark.parametrize("budget_ms", [0, BUDGET_MS])
def test_nobody_waits_where_turns_have_no_budget_or_nobody_is_urgent(loop_factory: LoopFactory, budget_ms: int) -> None:
    async def main() -> None:
        urgent = [] if budget_ms else [pulse.spawn(asyncio.Event().wait(), priority=TaskPriority.HIGH)]
        crowd = Crowd(40)
        while max(crowd.polls) < 5:
            await asyncio.sleep(0)
        assert held() == 0
        for task in urgent:
            task.cancel()
        await crowd.end()

    run(loop_factory, main, budget_ms)


@pytest.mark.timing
def test_nobody_waits_in_turns_within_their_budget(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        urgent = pulse.spawn(asyncio.Event().wait(), priority=TaskPriority.HIGH)
        crowd = Crowd(20, 100)
        while max(crowd.polls) < 50:
            await asyncio.sleep(0)
        assert held() == 0
        urgent.cancel()
        await crowd.end()

    run(loop_factory, main, 1_000)


def test_urgent_ones_never_wait(loop_factory: LoopFactory) -> None:
    """Not the task, nor one that it awaits, nor one in the middle of an urgent call."""

    async def main() -> None:
        crowd = Crowd(100)
        polls = dict.fromkeys(("urgent", "awaited", "caller", "other"), 0)
        stop = asyncio.Event()

        async def work(name: str) -> None:
            while not stop.is_set():
                polls[name] += 1
                await asyncio.sleep(0)

        async def wait() -> None:
            await pulse.spawn(work("awaited"), group="awaited")

        call = pulse.governed(priority=TaskPriority.HIGH)(work)

        async def caller() -> None:
            await call("caller")

        tasks = [
            pulse.spawn(work("urgent"), priority=TaskPriority.HIGH),
            pulse.spawn(wait(), priority=TaskPriority.HIGH),
            pulse.spawn(caller()),
            pulse.spawn(work("other")),
        ]
        while polls["other"] < 10:
            await asyncio.sleep(0)
        stop.set()
        await asyncio.gather(*tasks)
        await crowd.end()
        # Once in each of the turns that it takes to serve everybody: ten of them, and not one for each.
        assert all(3 <= polls[name] / polls["other"] <= 60 for name in ("urgent", "awaited", "caller")), polls

    run(loop_factory, main)


async def end_by_cancelling(urgent: asyncio.Task[Any]) -> None:
    urgent.cancel()


async def change_the_configuration(_: asyncio.Task[Any]) -> None:
    pulse.get_manager().update_config(config(0))


async def only_observe(_: asyncio.Task[Any]) -> None:
    pulse.get_manager().set_mode("observe")


async def switch_off(_: asyncio.Task[Any]) -> None:
    pulse.get_manager().set_mode("off")


async def uninstall(_: asyncio.Task[Any]) -> None:
    pulse.uninstall()


Change = Callable[[asyncio.Task[Any], asyncio.Event], None]
CHANGES: dict[str, Change] = {
    "cancelled": lambda urgent, _: urgent.cancel() and None,
    "lower priority, then the end": lambda _, less_urgent: less_urgent.set(),
    "other configuration": lambda *_: pulse.get_manager().update_config(config(0)),
    "observe": lambda *_: pulse.get_manager().set_mode("observe"),
    "off": lambda *_: pulse.get_manager().set_mode("off"),
    "uninstalled": lambda *_: pulse.uninstall(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whoever_waits_goes_on_when_the_reason_is_gone(loop_factory: LoopFactory, change: str) -> None:
    async def be_urgent(less_urgent: asyncio.Event, stop: asyncio.Event) -> None:
        await less_urgent.wait()
        pulse.current().update(priority=TaskPriority.NORMAL)
        await stop.wait()

    async def main() -> None:
        less_urgent, stop = asyncio.Event(), asyncio.Event()
        urgent = pulse.spawn(be_urgent(less_urgent, stop), priority=TaskPriority.HIGH)
        crowd = Crowd(40)
        manager = pulse.get_manager()
        await until_held(60)
        CHANGES[change](urgent, less_urgent)
        while sum(slow_queue(manager.governor).overlong_turns.queued):
            await asyncio.sleep(0)
        before, served = list(crowd.polls), slow_queue(manager.governor).overlong_turns.served
        while max(crowd.polls) < max(before) + 3:
            await asyncio.sleep(0)
        assert slow_queue(manager.governor).overlong_turns.served == served
        assert min(crowd.polls) >= min(before) + 2
        less_urgent.set()
        stop.set()
        await asyncio.wait([urgent])
        await crowd.end()

    pulse.run(main(), config=config(), loop_factory=loop_factory)


def test_whoever_waits_can_be_cancelled(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        urgent = pulse.spawn(asyncio.Event().wait(), priority=TaskPriority.HIGH)
        crowd = Crowd(100)
        await until_held(50)
        before = slow_queue(pulse.get_manager().governor).cancelled
        for task in crowd.tasks:
            task.cancel()
        endings = await asyncio.gather(*crowd.tasks, return_exceptions=True)
        assert all(isinstance(ending, asyncio.CancelledError) for ending in endings)
        assert slow_queue(pulse.get_manager().governor).cancelled > before
        urgent.cancel()

    run(loop_factory, main)


def test_what_is_thrown_into_it_waits_and_arrives(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        urgent = pulse.spawn(asyncio.Event().wait(), priority=TaskPriority.HIGH)
        crowd = Crowd(40)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def wait() -> str:
            try:
                await future
            except ValueError as error:
                return str(error)
            return ""

        waiting = [pulse.spawn(wait()) for _ in range(20)]
        await until_held(60)
        future.set_exception(ValueError("told"))
        assert await asyncio.gather(*waiting) == ["told"] * 20
        urgent.cancel()
        await crowd.end()

    run(loop_factory, main)


def test_who_finds_the_line_full_runs(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        urgent = pulse.spawn(asyncio.Event().wait(), priority=TaskPriority.HIGH)
        crowd = Crowd(100)
        while max(crowd.polls) < 5:
            await asyncio.sleep(0)
        queue = slow_queue(pulse.get_manager().governor).overlong_turns
        assert queue.overflows > 100
        assert queue.high_water_mark == 10
        urgent.cancel()
        await crowd.end()

    pulse.run(main(), config=config(max_slow_queue_size=10), loop_factory=loop_factory)


@pytest.mark.timing
def test_a_loop_that_is_stopped_goes_on_and_one_that_is_closed_keeps_nobody(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    loop.set_exception_handler(lambda *_: None)
    manager = pulse.install(config(), loop=loop)

    async def main() -> Crowd:
        pulse.spawn(asyncio.Event().wait(), priority=TaskPriority.HIGH)
        crowd = Crowd(40)
        await until_held(60)
        return crowd

    def run_until(done: Callable[[], bool]) -> None:
        for _ in range(500):
            if done():
                return
            loop.run_until_complete(asyncio.sleep(0))
        raise AssertionError(f"not in 500 turns: {slow_queue(manager.governor)}")

    def some_are_held() -> bool:
        return sum(slow_queue(manager.governor).overlong_turns.queued) > 0

    crowd = loop.run_until_complete(main())
    # Between two turns there may be nobody: all were just released.
    run_until(some_are_held)
    polls = crowd.polls
    before = min(polls)
    run_until(lambda: min(polls) > before and some_are_held())
    loop.close()
    assert slow_queue(manager.governor).overlong_turns.queued == (0, 0, 0, 0)
    del crowd
    gc.collect()
