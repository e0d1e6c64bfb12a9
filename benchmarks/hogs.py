"""Hogs and how to run them preempted, shared by the benchmarks of preemption."""

from __future__ import annotations

import logging
import time
from collections.abc import Coroutine
from typing import Any

import asyncio_pulse as pulse

from .loops import LoopFactory

__all__ = ["hog", "run", "work"]


async def hog(until: float) -> int:
    """Count until the clock reaches `until`, and return the count."""
    rounds = 0
    while time.perf_counter() < until:
        for _ in range(1000):
            rounds += 1
    return rounds


def run(factory: LoopFactory, main: Coroutine[Any, Any, Any], **settings: Any) -> Any:
    """Run a coroutine governed, with all of its modules preemptible, and without log records about offenders."""
    logging.getLogger("asyncio_pulse").setLevel(logging.ERROR)
    return pulse.run(main, config=pulse.TierConfig(preemptible_modules=("*",), **settings), loop_factory=factory)


def work(rounds: int) -> int:
    """Compute without a pause."""
    total = 0
    for number in range(rounds):
        total += number * number
    return total
