"""Many tasks at once: long steps, short steps, blocking calls; loops in threads; the batch example."""

from __future__ import annotations

import asyncio
import runpy
import threading
import time
from pathlib import Path

from .jobs import loop, work_off
from .neighbours import run_beside_ticker

__all__ = ["batch_example", "blocking_handlers", "loops_in_threads", "short_steps", "small_offenders"]

EXAMPLE = Path(__file__).parents[2] / "examples" / "tuned_batch.py"


def _compute(rounds: int) -> int:
    total = 0
    for number in range(rounds):
        total = (total * 31 + number) % 1_000_003
    return total


async def _offend(steps: int, rounds: int) -> None:
    for _ in range(steps):
        _compute(rounds)
        await asyncio.sleep(0)


async def small_offenders() -> None:
    """Run twenty tasks of one function that compute 3 to 8 ms and yield. Together they delay a timer by up to 160 ms."""
    await asyncio.gather(*(_offend(5, 100_000) for _ in range(20)))


async def short_steps() -> None:
    """Run a gather of tasks that compute in steps of some 200 us, none of them an offender."""
    await asyncio.gather(*(_offend(100, 1_600) for _ in range(40)))


async def _handle() -> None:
    for _ in range(18):
        time.sleep(0.02)
        await asyncio.sleep(0.01)


async def blocking_handlers() -> None:
    """Run handlers that block for 20 ms and wait half as long, with 24 computing jobs to make CPU times comparable."""
    await asyncio.gather(*(_handle() for _ in range(8)), work_off(loop, 24))


async def loops_in_threads() -> list[float]:
    """Run three threads, each with its own loop, worker and ticker. This loop only waits for them."""
    latencies_s: list[float] = []

    def run() -> None:
        latencies_s.extend(asyncio.run(run_beside_ticker(work_off(loop, 15))))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        await asyncio.sleep(0.02)
    for thread in threads:
        thread.join()
    return latencies_s


async def batch_example() -> None:
    """Run the example `tuned_batch` on a twentieth of its lines, two files at once."""
    parse = runpy.run_path(str(EXAMPLE))["parse"]
    await asyncio.gather(*(parse(4_000) for _ in range(2)))
