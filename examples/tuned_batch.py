"""A batch job that computes all the time and shows its progress; use it to try tiers.

asyncio-pulse run [--config FILE] examples/tuned_batch.py
"""

from __future__ import annotations

import asyncio
import time

import asyncio_pulse as pulse


async def parse(lines: int) -> int:
    """Parse a file, and give way to other tasks after every chunk."""
    total = 0
    for line in range(lines):
        total += sum(int(digit) for digit in str(line * 7919) * 40)
        if line % 400 == 399:
            await asyncio.sleep(0)
    return total


async def show_progress(late: list[float]) -> None:
    """Wake up twenty times a second, and record the lateness."""
    while True:
        due = time.perf_counter() + 0.05
        await asyncio.sleep(0.05)
        late.append(time.perf_counter() - due)


async def main() -> None:
    """Parse eight files at once."""
    late: list[float] = []
    progress = pulse.spawn(show_progress(late), group="progress")
    started = time.perf_counter()
    await asyncio.gather(*(pulse.spawn(parse(20_000), group="parse") for _ in range(8)))
    progress.cancel()
    late.sort()
    print(f"{time.perf_counter() - started:.1f} s; progress late by {late[len(late) // 2] * 1e3:.0f} ms in the median")


if __name__ == "__main__":
    asyncio.run(main())
