"""The cost of creating a governed task beyond asyncio's own: time, and memory from its allocators."""

from __future__ import annotations

import asyncio
import functools
import time
import tracemalloc
from collections.abc import Callable

from .loops import LoopFactory, Surroundings, bare, governed, loop_factories, spin, watchdog_running
from .method import Figure, differences, interleave, on_processor

__all__ = ["measure"]

ROUNDS = 25
TASKS = 10_000
BOUND_NS, BOUND_BYTES = 250.0, 192.0


def _create(
    factory: LoopFactory, surroundings: Surroundings, read: Callable[[], float], *, live: bool = False
) -> float:
    """Create tasks and run each to its end, which takes exactly two polls.

    Returns:
        Growth of the reading per task, over its creation or, with `live`, over its whole life.
    """

    async def drive() -> float:
        loop = asyncio.get_running_loop()
        with surroundings(loop, TASKS * 2):
            coroutines = [spin(1) for _ in range(TASKS)]
            tasks: list[asyncio.Task[None]] = [None] * TASKS  # type: ignore[list-item]
            create_task = loop.create_task
            before = read()
            for number, coroutine in enumerate(coroutines):
                tasks[number] = create_task(coroutine)
            created = read()
            await asyncio.gather(*tasks)
            return ((read() if live else created) - before) / TASKS

    loop = factory()
    try:
        return loop.run_until_complete(drive())
    finally:
        loop.close()


def _traced_bytes() -> float:
    return float(tracemalloc.get_traced_memory()[0])


def _create_traced(factory: LoopFactory, surroundings: Surroundings) -> float:
    tracemalloc.start()
    try:
        return _create(factory, surroundings, _traced_bytes)
    finally:
        tracemalloc.stop()


def measure() -> list[Figure]:
    """Measure on every installed loop."""
    figures = []
    with watchdog_running(), on_processor(0):
        for name, factory in loop_factories().items():
            contenders = {"bare": bare, "governed": governed}
            clock = time.thread_time_ns
            times = {key: functools.partial(_create, factory, value, clock) for key, value in contenders.items()}
            costs = interleave(times, ROUNDS)
            figures.append(
                Figure.of(f"creating a task, {name}", "ns", differences(costs, "governed", "bare"), BOUND_NS)
            )
            lives = {
                key: functools.partial(_create, factory, value, clock, live=True) for key, value in contenders.items()
            }
            costs = interleave(lives, ROUNDS)
            figures.append(
                Figure.of(f"a task's whole life of 2 polls, {name}", "ns", differences(costs, "governed", "bare"))
            )
            sizes = {key: functools.partial(_create_traced, factory, value) for key, value in contenders.items()}
            costs = interleave(sizes, 5)
            # Rounded to whole bytes. The fraction comes from objects that the loop has once, divided by all tasks.
            sizes_beyond = [round(each) for each in differences(costs, "governed", "bare")]
            figures.append(Figure.of(f"memory of a new task, {name}", "bytes", sizes_beyond, BOUND_BYTES))
    return figures
