"""Each function keeps the loop in a way of its own, at one line that advice has a remedy for. The test edits that line."""

import asyncio
import gc
import math
import subprocess
import sys
import time
import zlib
from concurrent.futures import ProcessPoolExecutor

ROUNDS = 6
DATA = bytes(range(256)) * 40_000


def digits(number: int) -> int:
    return math.factorial(number).bit_length()


def fetch(seconds: float) -> None:
    time.sleep(seconds)


def compute(seconds: float) -> int:
    end, total = time.thread_time() + seconds, 0
    while time.thread_time() < end:
        total += 1
    return total


async def compressing(process_pool: ProcessPoolExecutor) -> None:
    for _ in range(ROUNDS):
        zlib.compress(DATA)
        await asyncio.sleep(0.02)


async def fetching(process_pool: ProcessPoolExecutor) -> None:
    for _ in range(ROUNDS):
        fetch(0.15)
        await asyncio.sleep(0.02)


async def sleeping(process_pool: ProcessPoolExecutor) -> None:
    for _ in range(ROUNDS):
        time.sleep(0.15)
        await asyncio.sleep(0.02)


async def counting(process_pool: ProcessPoolExecutor) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(ROUNDS):
        digits(60_000)
        await asyncio.sleep(0.02)
    del loop


async def step() -> None:
    await asyncio.sleep(0)
    compute(0.25)


async def stepping(process_pool: ProcessPoolExecutor) -> None:
    for _ in range(ROUNDS):
        await asyncio.create_task(step())
        await asyncio.sleep(0.02)


async def importing(process_pool: ProcessPoolExecutor) -> None:
    await asyncio.sleep(0.02)
    import imported_late  # type: ignore[import-not-found]  # noqa: F401

    await asyncio.sleep(0.02)


async def starting(process_pool: ProcessPoolExecutor) -> None:
    options = {"preexec_fn": lambda: time.sleep(0.2)}
    for _ in range(ROUNDS):
        process = await asyncio.create_subprocess_exec("true", **options)
        await process.wait()


async def collecting(process_pool: ProcessPoolExecutor) -> None:
    # REMEDY
    for _ in range(ROUNDS):
        gc.collect()
        await asyncio.sleep(0.02)


async def beat() -> None:
    while True:
        await asyncio.sleep(0.005)


async def main(name: str) -> None:
    heartbeat = asyncio.create_task(beat())
    with ProcessPoolExecutor(1) as pool:
        if name == "counting":
            await asyncio.get_running_loop().run_in_executor(pool, digits, 10)
        await globals()[name](pool)
    heartbeat.cancel()
    assert subprocess


if __name__ == "__main__":
    heap = [[number] for number in range(1_500_000 if sys.argv[1] == "collecting" else 1)]
    asyncio.run(main(sys.argv[1]))
