"""One of its tasks burns CPU in a function that it calls; the others are innocent."""

import asyncio
import time


def crunch(seconds: float) -> int:
    end = time.thread_time() + seconds
    steps = 0
    while time.thread_time() < end:
        steps += 1  # the culprit
    return steps


async def heavy() -> None:
    await asyncio.sleep(0)
    crunch(0.6)


async def light() -> None:
    for _ in range(20):
        await asyncio.sleep(0.001)


async def main() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(light(), name="innocent")
        group.create_task(heavy(), name="the guilty one")


asyncio.run(main())
