"""One task computes, one blocks, and one calls C code for long, beside a heartbeat."""

import asyncio
import json
import sys
import time


def compute() -> int:
    end, total = time.perf_counter() + 0.15, 0
    while time.perf_counter() < end:
        total += 1
    return total


async def computing() -> None:
    for _ in range(20):
        compute()
        await asyncio.sleep(0.02)


async def blocking() -> None:
    for _ in range(6):
        time.sleep(0.15)
        await asyncio.sleep(0.02)


async def encoding() -> None:
    rows = [{"number": number, "text": str(number)} for number in range(150_000)]
    for _ in range(15):
        json.dumps(rows)
        await asyncio.sleep(0.02)


async def beat() -> None:
    while True:
        await asyncio.sleep(0.005)


async def main(names: list[str]) -> None:
    tasks = {"computing": computing, "blocking": blocking, "encoding": encoding}
    heartbeat = asyncio.create_task(beat())
    await asyncio.gather(*(tasks[name]() for name in names))
    heartbeat.cancel()


asyncio.run(main(sys.argv[1:]))
