"""A worker with two types of jobs, one of which computes most of the time; use it to try tiers.

asyncio-pulse run [--config FILE] examples/tuned_worker.py
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine

import asyncio_pulse as pulse


@pulse.governed(group="job mail")
async def send_mail() -> None:
    """Wait for a server most of the time."""
    for _ in range(5):
        await asyncio.sleep(0.002)


@pulse.governed(group="job image")
async def resize_image() -> None:
    """Compute for several milliseconds at a time."""
    for _ in range(20):
        hashlib.pbkdf2_hmac("sha256", b"pixels", b"salt", 40_000)
        await asyncio.sleep(0)


async def work(queue: asyncio.Queue[float], job: Callable[[], Coroutine[None, None, None]], took: list[float]) -> None:
    """Take jobs one after the other, and record the time from the arrival of each to its end."""
    while True:
        arrived = await queue.get()
        await job()
        took.append(time.perf_counter() - arrived)


async def main() -> None:
    """Give fifteen seconds of jobs to eight workers of each type: mail twenty times a second, images without end."""
    mails: asyncio.Queue[float] = asyncio.Queue()
    images: asyncio.Queue[float] = asyncio.Queue(maxsize=1)
    took: dict[str, list[float]] = {"mail": [], "image": []}
    # The jobs have groups of their own. The workers themselves are never parked.
    workers = [pulse.spawn(work(mails, send_mail, took["mail"]), max_tier="warn") for _ in range(8)]
    workers += [pulse.spawn(work(images, resize_image, took["image"]), max_tier="warn") for _ in range(8)]
    end = time.perf_counter() + 15
    while time.perf_counter() < end:
        mails.put_nowait(time.perf_counter())
        if images.empty():
            images.put_nowait(time.perf_counter())
        await asyncio.sleep(0.05)
    for worker in workers:
        worker.cancel()
    for kind, seconds in took.items():
        seconds.sort()
        print(f"{kind}: {len(seconds)} done, median {seconds[len(seconds) // 2]:.2f} s, slowest {seconds[-1]:.2f} s")


if __name__ == "__main__":
    asyncio.run(main())
