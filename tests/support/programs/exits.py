"""Ends in the way that its argument names."""

import asyncio
import atexit
import gc
import os
import sys

atexit.register(print, "atexit ran")


def fail() -> None:
    raise ValueError("on purpose")


async def fail_in_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(fail), name="in a thread")


async def main(way: str) -> None:
    await asyncio.sleep(0)
    match way:
        case "integer":
            sys.exit(3)
        case "text":
            sys.exit("a last word")
        case "none":
            sys.exit()
        case "large":
            sys.exit(1000)
        case "error":
            await asyncio.create_task(asyncio.to_thread(fail))
        case "group":
            await fail_in_group()
        case "interrupt":
            raise KeyboardInterrupt
        case "cancelled":
            raise asyncio.CancelledError("by itself")
        case "forgotten":
            asyncio.create_task(fail_in_group())
            await asyncio.sleep(0.05)
            gc.collect()  # the task complains when it is collected: now, and not somewhere after the report
        case "at once":
            sys.stdout.flush()
            os._exit(5)


asyncio.run(main(sys.argv[1]))
print("reached the end")
