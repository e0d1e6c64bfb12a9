"""Tasks are left in the middle of their code, end, fail and are cancelled there, over and over: nothing is left of them."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import measuring
import offending

import asyncio_pulse as pulse
from asyncio_pulse.testing import chaos

if "asan" in os.environ.get("LD_PRELOAD", ""):
    # Not tried under the address sanitizer.
    print("ok")
    sys.exit()


def numbers(count: int) -> list[int]:
    return [number for number in range(count) if number % 2]


async def ending(loops: int) -> int:
    total = 0
    for _ in range(loops):
        for number in numbers(20):
            total += number
        # A place that is refused, and noted.
        total += max([1, 2], key=lambda number: sum(numbers(number)))
    return total


async def failing(loops: int) -> int:
    raise LookupError(await ending(loops))


async def endless() -> None:
    while True:
        await ending(1)


async def round_of_everything() -> None:
    tasks = [pulse.spawn(work(10), preemptible=True) for work in (ending, failing) for _ in range(3)]
    cancelled = [pulse.spawn(endless(), preemptible=True) for _ in range(3)]
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in cancelled:
        task.cancel()
    await asyncio.gather(*cancelled, return_exceptions=True)


async def rounds(times: int) -> None:
    manager = pulse.get_manager()
    while manager.get_metrics().preemptions < times:
        await round_of_everything()
    assert manager.get_metrics().internal_errors == 0


def run_and_close(times: int) -> None:
    config = pulse.TierConfig(poll_budget_us=50, max_tier="monitor")
    for factory in offending.FACTORIES:
        # At the next place where it is allowed, mostly.
        with chaos(1, park=0.0, preempt=0.9):
            pulse.run(rounds(times // 2), config=config, loop_factory=factory)
    measuring.wait_for_core_threads(0)


logging.disable(logging.CRITICAL)
measuring.assert_memory_is_bounded(run_and_close, measuring.rounds(short=20_000, long=1_000_000), 2_000_000)
print("ok")
