"""A fork finds no thread of the core, not even one that has just ended: Python would warn of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Registered before ours, and so called after it.
os.register_at_fork(before=lambda: threads.append(count_threads()))

import asyncio  # noqa: E402

import measuring  # noqa: E402

import asyncio_pulse as pulse  # noqa: E402

FORKS = measuring.rounds(300, 300)
threads: list[int] = []


def count_threads() -> int:
    # As CPython does it: the number is the eighteenth word after the name, which may contain blanks.
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[17])


async def poll() -> None:
    await asyncio.sleep(0)


async def main() -> None:
    for _ in range(FORKS):
        # The poll starts the threads again.
        await pulse.spawn(poll(), preemptible=measuring.PREEMPTS)
        measuring.wait_for_core_threads(measuring.CORE_THREADS)
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)


if sys.platform == "linux":
    pulse.run(main())
    assert threads == [1] * FORKS, threads
print("ok")
