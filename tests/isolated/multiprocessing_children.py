"""Children that multiprocessing forks and spawns govern loops of their own."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import warnings
from typing import Any

import asyncio_pulse as pulse

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)


async def work(polls: int) -> int:
    for _ in range(polls - 1):
        await asyncio.sleep(0)
    return pulse.get_manager().get_metrics().polls


def child(results: Any) -> None:
    results.put((os.getpid(), pulse.run(work(8), config=pulse.TierConfig(preempt="off"))))


async def main() -> None:
    await asyncio.sleep(0)
    before = pulse.get_manager().get_metrics().polls
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        results = context.Queue()
        process = context.Process(target=run_outside, args=(results,))
        process.start()
        # The child's last poll is the one that is still running.
        pid, polls = results.get(timeout=60)
        process.join(timeout=60)
        assert (pid, polls, process.exitcode) == (process.pid, 7, 0)
        assert pulse.get_manager().get_metrics().polls == before


def run_outside(results: Any) -> None:
    asyncio.events._set_running_loop(None)
    child(results)


if __name__ == "__main__":
    pulse.run(main())
    print("ok")
