"""Overlong turns: once a turn has lasted long enough, tasks whose polls are long wait for another one."""

from __future__ import annotations

import asyncio
import dataclasses
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
LIMIT_MS = 5
# Far above what a short poll takes on a machine that pages.
BUDGET_US = 400
POLL_US = 500
OTHERS = 200


def config(limit_ms: int = LIMIT_MS, budget_us: int = BUDGET_US, slow_ms: int = 10, **settings: Any) -> TierConfig:
    """Nobody is ever an offender, whatever the machine does."""
    slow_queue = SlowQueueConfig(**settings)
    # Suspended tasks wait in the slow queue, too, and are not what is counted here.
    return TierConfig(
        turn_limit_ms=limit_ms,
        poll_budget_us=budget_us,
        slow_poll_threshold_ms=slow_ms,
        max_tier="warn",
        slow_queue=slow_queue,
        preempt="off",
    )


def run(make_loop: LoopFactory, main: Callable[[], Coroutine[Any, Any, T]], **settings: Any) -> T:
    async def check() -> T:
        result = await main()
        metrics = slow_queue(pulse.get_manager().governor)
        assert pulse.get_manager().get_metrics().internal_errors == 0
        assert metrics.parked == metrics.slices == 0
        assert metrics.overlong_turns.queued == (0, 0, 0, 0)
        return result

    return pulse.run(check(), config=config(**settings), loop_factory=make_loop)


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
def test_a_timer_waits_for_a_few_polls_and_not_for_everybody(loop_factory: LoopFactory) -> None:
    async def main() -> float:
        crowd = Crowd()
        # Not here: whoever makes so many tasks in one poll waits for its next one.
        late = await pulse.spawn(polls_while_late(crowd))
        await crowd.end()
        return statistics.median(late)

    without = run(loop_factory, main, limit_ms=0)
    within = run(loop_factory, main)
    assert without >= OTHERS
    # What is left of the turn that it fell due in, and on uvloop what was seen of the turn too late.
    assert within <= 2 * LIMIT_MS * 1_000 / POLL_US
    assert within < without / 5


@pytest.mark.timing
def test_the_first_polls_of_tasks_are_expected_to_be_as_the_others_of_their_group(loop_factory: LoopFactory) -> None:
    async def job(done: list[int]) -> None:
        burn(POLL_US)
        done.append(1)

    async def main() -> float:
        done: list[int] = []
        late: list[int] = []

        async def beat() -> None:
            before = len(done)
            await asyncio.sleep(2 * POLL_US / 1e6)
            late.append(len(done) - before)

        for _ in range(5):
            await asyncio.gather(beat(), *(job(done) for _ in range(OTHERS)))
        return statistics.median(late)

    without = run(loop_factory, main, limit_ms=0)
    within = run(loop_factory, main)
    assert without >= OTHERS
    assert within <= 3 * LIMIT_MS * 1_000 / POLL_US


@pytest.mark.timing
def test_equal_tasks_stay_equal(loop_factory: LoopFactory) -> None:
    async def main() -> list[int]:
        crowd = Crowd()
        while max(crowd.polls) < 10:
            await asyncio.sleep(0)
        polls = list(crowd.polls)
        assert held() > 2 * OTHERS
        await crowd.end()
        return polls

    polls = run(loop_factory, main)
    assert min(polls) / statistics.median(polls) >= 0.8


def test_low_and_normal_ones_wait_in_one_line(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        crowds = [Crowd(20, POLL_US, priority=priority) for priority in (TaskPriority.NORMAL, TaskPriority.LOW)]
        while max(crowds[0].polls) < 10:
            await asyncio.sleep(0)
        assert held() > 100
        assert min(crowds[1].polls) >= 8
        for crowd in crowds:
            await crowd.end()

    run(loop_factory, main)


@pytest.mark.parametrize(
    "settings", [{"limit_ms": 0}, {"budget_us": 10_000_000, "slow_ms": 60_000}], ids=["no limit", "no long polls"]
)
def test_nobody_waits_where_turns_have_no_limit_or_polls_keep_their_budgets(
    loop_factory: LoopFactory, settings: dict[str, int]
) -> None:
    async def main() -> None:
        crowd = Crowd(40, 100)
        while max(crowd.polls) < 20:
            await asyncio.sleep(0)
        assert held() == 0
        await crowd.end()

    run(loop_factory, main, **settings)


@pytest.mark.timing
def test_nobody_waits_in_turns_within_the_limit(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        crowd = Crowd(20)
        while max(crowd.polls) < 50:
            await asyncio.sleep(0)
        assert held() == 0
        await crowd.end()

    run(loop_factory, main, limit_ms=1_000)


def test_short_polls_run_while_long_ones_wait(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        polls = 0
        crowd = Crowd(100)

        async def answer() -> None:
            nonlocal polls
            while max(crowd.polls) < 6:
                polls += 1
                await asyncio.sleep(0)

        await pulse.spawn(answer())
        # At least once in each of the ten turns that it takes to serve the crowd once.
        assert held() > 300
        assert polls > 30
        await crowd.end()

    run(loop_factory, main)


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"max_tier": "monitor"}, {}),
        ({"group": "batch"}, {"groups": {"batch": pulse.GroupPolicy(exempt=True)}}),
        ({"group": "batch"}, {"groups": {"batch": pulse.GroupPolicy(max_tier="monitor")}}),
        ({}, {"max_tier": "monitor"}),
    ],
    ids=["a task's cap", "an exempt group", "a group's cap", "everybody's cap"],
)
def test_who_is_only_measured_never_waits(
    loop_factory: LoopFactory, options: dict[str, Any], settings: dict[str, Any]
) -> None:
    async def watch() -> None:
        crowd = Crowd(40, **options)
        while max(crowd.polls) < 5:
            await asyncio.sleep(0)
        assert held() == 0
        await crowd.end()

    async def main() -> None:
        # Urgent, because a task that makes so many tasks in one poll may have to wait itself.
        await pulse.spawn(watch(), priority=TaskPriority.HIGH)

    pulse.run(main(), config=dataclasses.replace(config(), **settings), loop_factory=loop_factory)


def test_a_group_that_is_only_observed_waits_no_more(loop_factory: LoopFactory) -> None:
    async def watch() -> None:
        crowd = Crowd(40, group="batch")
        # Until its first bad polls are reported, nobody knows of the group.
        while max(crowd.polls) < 5:
            await asyncio.sleep(0)
        before = held()
        while max(crowd.polls) < 10:
            await asyncio.sleep(0)
        assert held() == before
        await crowd.end()

    async def main() -> None:
        # Urgent, because a task that makes so many tasks in one poll may have to wait itself.
        await pulse.spawn(watch(), priority=TaskPriority.HIGH)

    pulse.run(main(), config=dataclasses.replace(config(), rollout_ratio=0.0), loop_factory=loop_factory)


def test_calls_say_nothing_of_the_tasks_of_their_group(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        begun = []

        @pulse.governed(group="GET /report", priority=TaskPriority.HIGH)
        async def call() -> None:
            burn(2 * BUDGET_US)

        async def task() -> None:
            begun.append(1)

        async def serve() -> None:
            for _ in range(10):
                await call()
            await until_held()
            tasks = [pulse.spawn(task(), group="GET /report") for _ in range(20)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert len(begun) == 20
            await asyncio.gather(*tasks)

        crowd = Crowd(100)
        await pulse.spawn(serve(), priority=TaskPriority.HIGH)
        await crowd.end()

    run(loop_factory, main)


def test_urgent_ones_never_wait(loop_factory: LoopFactory) -> None:
    """Not the task, nor one that it awaits, nor one in the middle of an urgent call."""

    async def main() -> None:
        crowd = Crowd(100)
        polls = dict.fromkeys(("urgent", "awaited", "caller", "other"), 0)
        stop = asyncio.Event()

        async def work(name: str) -> None:
            while not stop.is_set():
                polls[name] += 1
                burn(2 * BUDGET_US)
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
        # At least once in each of the turns that it takes to serve everybody.
        assert all(polls[name] >= 3 * polls["other"] for name in ("urgent", "awaited", "caller")), polls

    run(loop_factory, main)


CHANGES: dict[str, Callable[[], Any]] = {
    "other configuration": lambda: pulse.get_manager().update_config(config(0)),
    "observe": lambda: pulse.get_manager().set_mode("observe"),
    "off": lambda: pulse.get_manager().set_mode("off"),
    "uninstalled": pulse.uninstall,
}


@pytest.mark.parametrize("change", CHANGES)
def test_whoever_waits_goes_on_when_nobody_has_to_wait_any_more(loop_factory: LoopFactory, change: str) -> None:
    async def main() -> None:
        crowd = Crowd(40)
        manager = pulse.get_manager()
        await until_held(60)
        CHANGES[change]()
        while sum(slow_queue(manager.governor).overlong_turns.queued):
            await asyncio.sleep(0)
        before, served = list(crowd.polls), slow_queue(manager.governor).overlong_turns.served
        while max(crowd.polls) < max(before) + 3:
            await asyncio.sleep(0)
        assert slow_queue(manager.governor).overlong_turns.served == served
        assert min(crowd.polls) >= min(before) + 2
        await crowd.end()

    pulse.run(main(), config=config(), loop_factory=loop_factory)


def test_whoever_waits_can_be_cancelled(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        crowd = Crowd(100)
        await until_held(50)
        before = slow_queue(pulse.get_manager().governor).cancelled
        for task in crowd.tasks:
            task.cancel()
        endings = await asyncio.gather(*crowd.tasks, return_exceptions=True)
        assert all(isinstance(ending, asyncio.CancelledError) for ending in endings)
        assert slow_queue(pulse.get_manager().governor).cancelled > before

    run(loop_factory, main)


def test_what_is_thrown_into_it_waits_and_arrives(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        crowd = Crowd(40)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def wait() -> str:
            burn(2 * BUDGET_US)
            try:
                await future
            except ValueError as error:
                return str(error)
            return ""

        waiting = [pulse.spawn(wait()) for _ in range(20)]
        await until_held(60)
        future.set_exception(ValueError("told"))
        assert await asyncio.gather(*waiting) == ["told"] * 20
        await crowd.end()

    run(loop_factory, main)


def test_who_finds_the_line_full_runs(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        crowd = Crowd(100)
        while max(crowd.polls) < 10:
            await asyncio.sleep(0)
        queue = slow_queue(pulse.get_manager().governor).overlong_turns
        assert queue.overflows > 100
        assert queue.high_water_mark == 10
        await crowd.end()

    pulse.run(main(), config=config(max_slow_queue_size=10), loop_factory=loop_factory)


@pytest.mark.timing
def test_a_loop_that_is_stopped_goes_on_and_one_that_is_closed_keeps_nobody(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    loop.set_exception_handler(lambda *_: None)
    manager = pulse.install(config(), loop=loop)

    async def main() -> Crowd:
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
