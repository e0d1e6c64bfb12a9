"""A thousand tasks of four behaviours on eight loops in eight threads; and how many simple ones go through in a second."""

from __future__ import annotations

import asyncio
import time

import pytest

import asyncio_pulse as pulse
from tests.isolated.measuring import rounds
from tests.stress.behaviours import BEHAVIOURS, config, mixed
from tests.stress.books import Books
from tests.stress.census import unchanged
from tests.stress.figures import Figures
from tests.stress.loops import LOOPS, governed, in_threads
from tests.support.loops import LoopFactory

TASKS = 1_000
STEPS = 5
ROUNDS = rounds(short=1, long=40)


async def all_behaviours(books: Books, number: int, times: int, tasks: int) -> None:
    books.enter(asyncio.current_task())
    for turn in range(times):
        running = [
            books.spawn(coro, group=group, preemptible=True)
            for group, coro in mixed(tasks, STEPS, seed=number * times + turn)
        ]
        assert await asyncio.gather(*running) == [STEPS] * tasks


def run_all(make_loop: LoopFactory, times: int, tasks: int = TASKS) -> None:
    figures = Figures()

    def work(number: int) -> pulse.TierManager:
        books = Books()
        with governed(make_loop, config()) as (runner, manager):
            runner.run(all_behaviours(books, number, times, tasks // LOOPS))
        books.check(manager)
        return manager

    managers = in_threads(work)
    for manager in managers:
        figures.add(manager)
    assert figures.tasks == times * tasks + LOOPS
    # Who breaks the budget is found, whoever else computes meanwhile; in the main thread it is cut short instead.
    for manager in managers:
        groups = {group.name: group for group in manager.groups()}
        heavy = groups["cpu_heavy"]
        assert heavy.violations + heavy.forced_yields >= times * (tasks // LOOPS // len(BEHAVIOURS)) * STEPS
    assert figures.parked > 0
    figures.print(f"{tasks} tasks on {LOOPS} loops, {times} times")


def test_every_task_ends_and_workers_count_what_their_tasks_did(loop_factory: LoopFactory) -> None:
    run_all(loop_factory, times=1, tasks=LOOPS * 4 * len(BEHAVIOURS))
    with unchanged():
        run_all(loop_factory, ROUNDS)


SIMPLE_TASKS = rounds(short=1_000, long=25_000)
PAIRS = rounds(short=3, long=6)
MOST_RATIO = 2.0


async def nothing() -> None:
    await asyncio.sleep(0)


async def simple() -> None:
    for _ in range(SIMPLE_TASKS // 100):
        await asyncio.gather(*[asyncio.create_task(nothing()) for _ in range(100)])


def run_simple(make_loop: LoopFactory, is_governed: bool) -> tuple[float, float]:
    """Give the CPU time, which other programs do not change much, and the time."""

    def work(number: int) -> None:
        if is_governed:
            with governed(make_loop, pulse.TierConfig()) as (runner, _):
                runner.run(simple())
        else:
            with asyncio.Runner(loop_factory=make_loop) as runner:
                runner.run(simple())

    began_cpu, began = time.process_time(), time.perf_counter()
    in_threads(work)
    return time.process_time() - began_cpu, time.perf_counter() - began


@pytest.mark.timing
def test_simple_tasks_a_second(loop_factory: LoopFactory) -> None:
    run_simple(loop_factory, is_governed=True)
    plain, ours = [], []
    for _ in range(PAIRS):
        plain.append(run_simple(loop_factory, is_governed=False))
        ours.append(run_simple(loop_factory, is_governed=True))
    (plain_cpu, plain_s), (cpu, seconds) = (
        [min(column) for column in zip(*runs, strict=True)] for runs in (plain, ours)
    )
    tasks = LOOPS * SIMPLE_TASKS
    print(
        f"simple tasks on 8 loops: {tasks / seconds:,.0f} tasks/s governed, {tasks / plain_s:,.0f} plain; "
        f"{cpu / tasks * 1e6:.2f} us CPU each, {plain_cpu / tasks * 1e6:.2f} plain: {cpu / plain_cpu:.2f} times as much"
    )
    assert cpu < MOST_RATIO * plain_cpu
