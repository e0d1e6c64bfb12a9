"""While loops are under load they are configured anew, their tasks are cancelled, and they are closed."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import random
import threading
from collections.abc import Callable

import pytest

import asyncio_pulse as pulse
from asyncio_pulse.config import ConfigProfile, SchedulingAlgorithm, SlowQueueConfig
from asyncio_pulse.lowlevel import PreemptionHooks, process_report
from tests.isolated.measuring import rounds
from tests.stress.behaviours import config, mixed
from tests.stress.books import Books
from tests.stress.census import unchanged
from tests.stress.figures import Figures
from tests.stress.loops import governed, in_threads
from tests.support.loops import LoopFactory

LOOPS, TASKS, STEPS = 4, 40, 4
ROUNDS = rounds(short=2, long=150)


async def load(books: Books, number: int) -> None:
    books.enter(asyncio.current_task())
    for turn in range(ROUNDS):
        tasks = [
            books.spawn(coro, group=group, preemptible=True) for group, coro in mixed(TASKS, STEPS, seed=number + turn)
        ]
        assert await asyncio.gather(*tasks) == [STEPS] * TASKS


def changes(manager: pulse.TierManager) -> list[Callable[[], object]]:
    """Everything that anybody may do to a loop from outside, while it runs."""
    hooks = PreemptionHooks()
    queues = [SlowQueueConfig(algorithm=algorithm) for algorithm in SchedulingAlgorithm]
    return [
        *(lambda mode=mode: manager.set_mode(mode) for mode in ("observe", "off", "act")),  # type: ignore[misc]
        lambda: manager.update_config(ConfigProfile.AGGRESSIVE),
        *(lambda queue=queue: manager.update_config(config(slow_queue=queue)) for queue in queues),  # type: ignore[misc]
        lambda: manager.hooks.register(hooks),
        lambda: manager.update_tier_policy(1, manager.config.tier_policies[1]),
        lambda: manager.reset_worker_stats(manager.worker_id),
        lambda: (
            manager.groups(),
            manager.tasks(),
            manager.audit(),
            manager.report().stalls,
            manager.report().worst_polls,
        ),
        lambda: manager.hooks.unregister(hooks),
        process_report,
    ]


def run_reconfigured(make_loop: LoopFactory) -> None:
    figures, ended = Figures(), threading.Event()
    made: dict[int, pulse.TierManager] = {}
    done = itertools.count()

    def change_everything() -> None:
        chance = random.Random(1)
        while not ended.wait(0.002):
            for manager in list(made.values()):
                chance.choice(changes(manager))()
                next(done)

    def work(number: int) -> None:
        if number == LOOPS:
            change_everything()
            return
        books = Books()
        with governed(make_loop, config()) as (runner, manager):
            made[number] = manager
            try:
                runner.run(load(books, number))
            finally:
                running.discard(number)
                if not running:
                    ended.set()
            books.check(manager)
        figures.add(manager)

    running = set(range(LOOPS))
    in_threads(work, LOOPS + 1)
    times = next(done)
    assert times > 10 * LOOPS
    figures.print(f"{LOOPS} loops, changed from outside {times} times")


def test_whatever_is_changed_every_task_ends_and_is_counted(loop_factory: LoopFactory) -> None:
    run_reconfigured(loop_factory)
    with unchanged():
        run_reconfigured(loop_factory)


async def cancelled_at_random(books: Books, turn: int) -> int:
    """Cancel half of the tasks, again and again, wherever they are; give how many ended by that."""
    chance = random.Random(turn)
    tasks = [books.spawn(coro, group=group, preemptible=True) for group, coro in mixed(TASKS, 10 * STEPS, seed=turn)]
    for task in chance.sample(tasks, TASKS // 2):
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        task.cancel()
    endings = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
    assert all(ending == 10 * STEPS or isinstance(ending, asyncio.CancelledError) for ending in endings)
    return sum(isinstance(ending, asyncio.CancelledError) for ending in endings)


async def cancelling(books: Books) -> int:
    books.enter(asyncio.current_task())
    total = 0
    for turn in range(ROUNDS):
        total += await cancelled_at_random(books, turn)
    return total


def run_cancelling(make_loop: LoopFactory) -> None:
    figures, books = Figures(), Books()
    with governed(make_loop, config()) as (runner, manager):
        cancelled = runner.run(cancelling(books))
    assert cancelled >= ROUNDS * TASKS // 4
    books.check(manager)
    figures.add(manager)
    assert figures.parked > 0
    figures.print(f"{cancelled} tasks cancelled wherever they were")


def test_who_is_cancelled_ends_wherever_it_was(loop_factory: LoopFactory) -> None:
    run_cancelling(loop_factory)
    with unchanged():
        run_cancelling(loop_factory)


async def begin(turn: int) -> None:
    """Leave tasks behind: not started, parked, in the middle of their code, waiting for a timer and for a socket."""
    for group, coro in mixed(TASKS, 1_000, seed=turn):
        pulse.spawn(coro, group=group, preemptible=True)
    for _ in range(20):
        await asyncio.sleep(0)
    for group, coro in mixed(TASKS, 1_000, seed=turn):
        pulse.spawn(coro, group=group, preemptible=True)


def close_with_everything(make_loop: LoopFactory, turn: int) -> int:
    loop = make_loop()
    # A task that is dropped while it is pending is complained of, by asyncio's own rule.
    loop.set_exception_handler(lambda loop, context: None)
    manager = pulse.install(config(), loop=loop)
    loop.run_until_complete(begin(turn))
    parked = manager.report().slow_queue.parked
    if turn % 2:
        pulse.uninstall(loop=loop)
    loop.close()
    pulse.uninstall(loop=loop)
    del loop
    gc.collect()
    assert manager.get_metrics().internal_errors == 0
    return parked


def run_closing(make_loop: LoopFactory) -> None:
    parked = sum(close_with_everything(make_loop, turn) for turn in range(2 * ROUNDS))
    assert parked > 0
    print(f"{2 * ROUNDS} loops closed with {2 * TASKS} tasks each, {parked} of them had been parked")


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_loops_are_closed_under_load_and_nothing_is_left(loop_factory: LoopFactory) -> None:
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        run_closing(loop_factory)
        with unchanged():
            run_closing(loop_factory)
    finally:
        logging.getLogger("asyncio").setLevel(logging.NOTSET)
