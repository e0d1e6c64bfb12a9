"""Neighbours of a program's work: tickers, and the duration of each of their steps."""

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
        latencies_s.append(time.perf_counter() - began)


async def run_beside_ticker(work: Awaitable[object]) -> list[float]:
    """Do the work beside a ticker.

    Returns:
        Seconds of each tick in order, including a tick that waits for the work's last step.
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
