"""A million tasks alive at once: the memory of each, and whether a poll costs more with more tasks.

Two populations live in one process, one on a bare loop and one on a governed loop, and grow in step. Two kinds of polls are
timed at every size. Polls of a fixed thousand tasks, while the others sleep, show whether any work per poll depends on the
number of tasks. Polls of every task in turn show the cost with cold caches.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import time
from collections.abc import Callable
from pathlib import Path

import asyncio_pulse as pulse

from .loops import spin, time_spinning
from .method import Figure, differences, expect, interleave, on_processor

__all__ = ["measure"]

BUSY_ROUNDS, TURNING_ROUNDS = 100, 5
SIZES = (1_000, 10_000, 100_000, 1_000_000)
BUSY_TASKS, BUSY_YIELDS = 1_000, 9
# Every size is polled about equally often: 200,000 polls a round, which is at least one pass over the population.
TURNING_POLLS = 200_000
# The bound of a poll over more tasks than the caches hold, at every size; and the part of it that stands for the caches,
# which limits the growth of a poll from the smallest size to the largest.
COLD_BOUND_NS, CACHES_BOUND_NS = 80.0, 30.0


class Population:
    """Live tasks on one loop, all asleep until the next turn."""

    def __init__(self, *, is_governed: bool) -> None:
        """Start without tasks."""
        self._loop = asyncio.new_event_loop()
        self._manager = pulse.install(loop=self._loop) if is_governed else None
        self._tasks: list[asyncio.Task[None]] = []
        self._gate: asyncio.Future[None] = self._loop.create_future()
        self._ending = False
        # Polls of the tasks and of our own coroutines. The governed loop must have counted exactly this number.
        self._polls = 0

    async def _live(self) -> None:
        while not self._ending:
            await self._gate

    def grow_to(self, size: int) -> None:
        """Add tasks and poll each once, which puts it to sleep."""

        async def grow() -> None:
            create_task = asyncio.get_running_loop().create_task
            while len(self._tasks) < size:
                self._tasks.append(create_task(self._live()))
            await asyncio.sleep(0)

        self._polls += size - len(self._tasks) + 2
        self._loop.run_until_complete(grow())

    def time_busy_polls(self) -> float:
        """Return CPU nanoseconds per poll of a thousand more tasks, while the population sleeps."""
        self._polls += (BUSY_TASKS + 1) * (BUSY_YIELDS + 1) + 2
        return self._loop.run_until_complete(time_spinning([spin] * BUSY_TASKS, BUSY_YIELDS))

    def time_turns(self) -> float:
        """Return CPU nanoseconds per poll when the whole population is polled in turn."""
        turns = max(1, TURNING_POLLS // len(self._tasks))

        async def drive() -> int:
            started_ns = time.thread_time_ns()
            for _ in range(turns):
                gate, self._gate = self._gate, self._loop.create_future()
                gate.set_result(None)
                await asyncio.sleep(0)
            return time.thread_time_ns() - started_ns

        polls = turns * len(self._tasks)
        self._polls += polls + turns + 1
        return self._loop.run_until_complete(drive()) / polls

    def close(self) -> None:
        """End every task."""
        self._ending = True
        self.time_turns()
        self._loop.close()

    def check(self) -> None:
        """Refuse the figures if the number of polls differs from the intended one."""
        if self._manager is not None:
            metrics = self._manager.get_metrics()
            expect("polls", metrics.polls, self._polls)
            expect("live tasks", metrics.tasks_alive, len(self._tasks))


def _resident_bytes() -> float:
    """Return the memory of this process, from Linux."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmRSS; this benchmark needs Linux")


def _grow_measured(population: Population, size: int) -> float:
    gc.collect()
    before = _resident_bytes()
    population.grow_to(size)
    return _resident_bytes() - before


def _time_both(populations: dict[str, Population], what: Callable[[Population], float], rounds: int) -> list[float]:
    contenders = {name: functools.partial(what, population) for name, population in populations.items()}
    return differences(interleave(contenders, rounds), "governed", "bare")


def measure() -> list[Figure]:
    """Grow to a million tasks, and measure at every size."""
    populations = {"bare": Population(is_governed=False), "governed": Population(is_governed=True)}
    busy: dict[int, list[float]] = {}
    figures = []
    # With a million tasks each full collection takes seconds and finds nothing.
    gc.disable()
    with on_processor(0):
        size_before = 0
        for size in SIZES:
            grown = {name: _grow_measured(population, size) for name, population in populations.items()}
            # None of these objects is garbage, so the collections between rounds skip them.
            gc.freeze()
            busy[size] = _time_both(populations, Population.time_busy_polls, BUSY_ROUNDS)
            turning = _time_both(populations, Population.time_turns, TURNING_ROUNDS)
            figures.append(Figure.of(f"a poll of 1,000 tasks beside {size:,} asleep", "ns", busy[size], COLD_BOUND_NS))
            figures.append(Figure.of(f"a poll of all {size:,} tasks in turn", "ns", turning, COLD_BOUND_NS))
            for population in populations.values():
                population.check()
            added, size_before = size - size_before, size
        for population in populations.values():
            population.close()
    bytes_each = (grown["governed"] - grown["bare"]) / added
    growth_ns = [most - least for most, least in zip(busy[SIZES[-1]], busy[SIZES[0]], strict=True)]
    figures.append(Figure.of(f"memory of each of {added:,} live tasks", "bytes", [bytes_each]))
    figures.append(Figure.of(f"growth of a poll from {SIZES[0]:,} to {SIZES[-1]:,}", "ns", growth_ns, CACHES_BOUND_NS))
    return figures
