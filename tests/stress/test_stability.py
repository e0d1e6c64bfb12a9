"""Everything at once for a while: five seconds, ten minutes in the whole form."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from typing import Any

import asyncio_pulse as pulse
from asyncio_pulse.config import SchedulingAlgorithm, SlowQueueConfig
from asyncio_pulse.lowlevel import PreemptionHooks, process_report
from tests.isolated.measuring import resident_bytes, rounds
from tests.stress.behaviours import BEHAVIOURS, config, mixed
from tests.stress.books import check_groups
from tests.stress.census import unchanged
from tests.stress.figures import Figures
from tests.stress.loops import governed, in_threads, kinds

SECONDS = rounds(short=5, long=600)
WARM_SECONDS = 1
PER_LOOP = 20
STEPS = 4
MOST_GROWTH = 4 * 2**20
"""Bytes that the process may grow by in the second half of the time."""


class Counting(PreemptionHooks):
    """Hooks that count what they are told."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()

    def before_poll(self, task_id: int, context: object, **kwargs: Any) -> None:
        self.told["before"] += 1

    def after_poll(self, task_id: int, result: object, duration_ns: int, **kwargs: Any) -> None:
        self.told["after"] += 1

    def on_completion(self, task_id: int, **kwargs: Any) -> None:
        self.told["completed"] += 1

    def on_tier_change(self, change: object, **kwargs: Any) -> None:
        self.told["changes"] += 1


async def request(number: int, chance: random.Random) -> int:
    """Serve a request as the middleware does: a governed call inside the server's own task."""
    behaviour = BEHAVIOURS[number % len(BEHAVIOURS)]

    @pulse.governed(group=f"GET /{behaviour.__name__}", preemptible=True)
    async def handle() -> int:
        return await behaviour(STEPS, chance)

    steps = await handle()
    async with asyncio.timeout(chance.random() / 100):
        await asyncio.sleep(chance.random() / 200)
    return steps


async def serve(end: float, seed: int) -> Counter[str]:
    """Keep so many tasks going until the end: requests, spawned ones, some cancelled."""
    chance, done = random.Random(seed), Counter[str]()
    running: set[asyncio.Task[int]] = set()
    number = 0
    while time.monotonic() < end:
        while len(running) < PER_LOOP:
            number += 1
            running.add(asyncio.create_task(request(number, chance)))
            for group, coro in mixed(4, STEPS, seed=number):
                priority = chance.choice(list(pulse.TaskPriority))
                running.add(pulse.spawn(coro, group=group, priority=priority, preemptible=True))
        chance.choice(list(running)).cancel()
        ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            is_cancelled = task.cancelled() or isinstance(task.exception(), TimeoutError)
            done["cancelled" if is_cancelled else "done"] += 1
            assert is_cancelled or task.result() == STEPS
    await asyncio.gather(*running, return_exceptions=True)
    return done


def look_on(end: float, managers: list[pulse.TierManager]) -> list[int]:
    """Change and read all loops until the end; give the memory in use at half of the time and at the end."""
    begun, memory = time.monotonic(), []
    queues = [config(slow_queue=SlowQueueConfig(algorithm=algorithm)) for algorithm in SchedulingAlgorithm]
    turn = 0
    while (now := time.monotonic()) < end:
        for manager in list(managers):
            manager.update_config(queues[turn % len(queues)])
            assert manager.groups() or not manager.get_metrics().polls
        assert process_report().metrics.internal_errors == 0
        turn += 1
        if not memory and now > (begun + end) / 2:
            memory.append(resident_bytes())
        time.sleep(0.25)
    return [*memory, resident_bytes()]


def run_for(seconds: float) -> None:
    figures, done = Figures(), Counter[str]()
    end = time.monotonic() + seconds
    managers: list[pulse.TierManager] = []
    memory: list[int] = []
    makers = kinds() * 2
    lock = threading.Lock()

    def work(number: int) -> None:
        if number == len(makers):
            memory.extend(look_on(end, managers))
            return
        hooks = Counting()
        with governed(makers[number], config()) as (runner, manager):
            manager.hooks.register(hooks)
            managers.append(manager)
            ended = runner.run(serve(end, number))
        check_groups(manager, calls=True)
        metrics = manager.get_metrics()
        assert (hooks.told["before"], hooks.told["after"]) == (metrics.polls, metrics.polls)
        assert hooks.told["completed"] == metrics.tasks
        with lock:
            done.update(ended)
            figures.add(manager)

    in_threads(work, len(makers) + 1)
    # On a busy machine the time of more requests runs out.
    assert 10 * done["done"] > done["cancelled"] > 0
    assert figures.parked > 0
    assert len(memory) == 2
    assert memory[1] - memory[0] < MOST_GROWTH
    figures.print(f"{seconds} s of everything on {len(makers)} loops, {done['cancelled']} cancelled")


def test_everything_goes_on_and_nothing_grows() -> None:
    run_for(WARM_SECONDS)
    with unchanged():
        run_for(SECONDS)
