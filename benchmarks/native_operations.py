"""The core's own operations, timed inside the core, and the CPU clock's share in the cost of a poll."""

from __future__ import annotations

import asyncio
import functools

import asyncio_pulse as pulse
from asyncio_pulse import _core

from .loops import LoopFactory, loop_factories, spin
from .method import Figure, expect, interleave, on_processor

__all__ = ["measure"]

ROUNDS = 25
REPEATS = 200_000
TASKS, YIELDS = 20, 5000
OPERATIONS: dict[str, tuple[str, float | None]] = {
    "budget": ("budget operation", 20.0),
    "counter": ("worker counter", 10.0),
    "priority": ("priority adjustment", 5.0),
    "histogram": ("histogram record", None),
    "clock": ("tick clock reading", None),
    "cpu_clock": ("CPU clock reading", None),
}
AMORTISED_BOUND_NS = 5.0


def _samples_per_poll(new_loop: LoopFactory) -> float:
    """Return how often a real poll reads the CPU clock, from the core's own count."""

    async def drive() -> float:
        loop = asyncio.get_running_loop()
        pulse.install(loop=loop)
        factory = loop.get_task_factory()
        assert isinstance(factory, _core.TaskFactory)
        governor = factory.governor
        try:
            # The core counts its readings of the CPU clock per thread. A governor knows its thread from its first poll on.
            await loop.create_task(spin(0))
            before = governor.counters()
            await asyncio.gather(*[loop.create_task(spin(YIELDS)) for _ in range(TASKS)])
            after = governor.counters()
        finally:
            pulse.uninstall(loop=loop)
        polls = after["polls"] - before["polls"]
        expect("polls", polls, TASKS * (YIELDS + 1))
        return (after["cpu_samples"] - before["cpu_samples"]) / polls

    loop = new_loop()
    try:
        return loop.run_until_complete(drive())
    finally:
        loop.close()


def measure() -> list[Figure]:
    """Measure each operation, then the readings of the CPU clock on every installed loop."""
    with on_processor(0):
        contenders = {what: functools.partial(_core.measure_native, what, REPEATS) for what in OPERATIONS}
        costs = interleave(contenders, ROUNDS)
        figures = [Figure.of(name, "ns", costs[what], bound) for what, (name, bound) in OPERATIONS.items()]
        for name, factory in loop_factories().items():
            samples = interleave({"samples": functools.partial(_samples_per_poll, factory)}, ROUNDS)["samples"]
            shares = [share * cost for share, cost in zip(samples, costs["cpu_clock"], strict=True)]
            figures.append(Figure.of(f"CPU time of a poll, amortised, {name}", "ns", shares, AMORTISED_BOUND_NS))
    return figures
