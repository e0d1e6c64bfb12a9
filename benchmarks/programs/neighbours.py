"""Neighbours of a program's work: tickers, and the duration of each of their steps.

A tick that takes long also keeps the ticks that should have begun meanwhile. Each of them counts with what it would have
taken. Without this correction for "coordinated omission" (Gil Tene), a loop that is blocked for 0.15 s and then idle for
0.01 s would have good percentiles, as most ticks fall into its idle time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence

__all__ = ["TICK_S", "percentile", "run_beside_ticker"]

TICK_S = 0.005


async def _tick(latencies_s: list[float]) -> None:
    """Sleep for a tick repeatedly, and record how long each took."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(TICK_S)
        took_s = time.perf_counter() - began
        latencies_s.append(took_s)
        while took_s >= 2 * TICK_S:
            took_s -= TICK_S
            latencies_s.append(took_s)


async def run_beside_ticker(work: Awaitable[object]) -> list[float]:
    """Do the work beside a ticker.

    Returns:
        Seconds of each tick in order, including the ticks that were kept, and those that wait for the work's last step.
    """
    latencies_s: list[float] = []
    ticker = asyncio.create_task(_tick(latencies_s))
    await asyncio.sleep(0)
    await work
    await asyncio.sleep(2 * TICK_S)
    ticker.cancel()
    return latencies_s


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` per cent of the values do not exceed; there must be at least one value."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
