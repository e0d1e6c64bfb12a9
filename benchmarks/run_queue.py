"""The run queue's operations, timed inside the core: 1,000 nodes in 100 flows, and each discipline."""

from __future__ import annotations

import functools

from asyncio_pulse import _core
from asyncio_pulse.config import SchedulingAlgorithm

from .method import Figure, interleave, on_processor

__all__ = ["measure"]

ROUNDS = 25
REPEATS = 200_000
BOUND_NS = 100.0
# The operations of a round: release, charge, enqueue; remove, enqueue.
OPERATIONS_OF_A_SLICE, OPERATIONS_OF_A_REMOVAL = 3, 2


def _operation(what: str, operations: int) -> float:
    return _core.measure_native(what, REPEATS) / operations


def measure() -> list[Figure]:
    """Measure the mean operation of a slice under each discipline, then of a cancellation."""
    contenders = {
        f"release, charge, enqueue: each, {algorithm}": functools.partial(
            _operation, f"queue_{algorithm}", OPERATIONS_OF_A_SLICE
        )
        for algorithm in SchedulingAlgorithm
    }
    contenders["remove, enqueue: each"] = functools.partial(_operation, "queue_removal", OPERATIONS_OF_A_REMOVAL)
    with on_processor(0):
        costs = interleave(contenders, ROUNDS)
    return [Figure.of(name, "ns", values, BOUND_NS) for name, values in costs.items()]
