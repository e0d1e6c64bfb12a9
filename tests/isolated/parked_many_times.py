"""Tasks are parked, served, cancelled, closed and dropped with their loops, over and over: nothing is left of them."""

from __future__ import annotations

import asyncio
import gc
import logging

import measuring
import offending

import asyncio_pulse as pulse
from asyncio_pulse.config import InterventionAction

CROWD = 500
POLLS = 4


async def work() -> None:
    for _ in range(POLLS - 1):
        await asyncio.sleep(0)


async def park_some() -> list[asyncio.Task[None]]:
    tasks = [pulse.spawn(work(), group="offenders") for _ in range(CROWD)]
    await asyncio.sleep(0)
    return tasks


async def round_of_everything() -> None:
    await asyncio.gather(*await park_some())
    tasks = await park_some()
    for number, task in enumerate(tasks):
        if number % 3 == 0:
            task.cancel()
        if number % 6 == 0:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    tasks = await park_some()
    for task in tasks:
        task.get_coro().close()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def rounds(times: int) -> None:
    await offending.offend()
    for _ in range(times):
        await round_of_everything()
    assert pulse.get_manager().get_metrics().internal_errors == 0
    # The loop is closed with these.
    rest = await park_some()
    assert sum(pulse.get_manager().report().slow_queue.queue.queued) > CROWD / 2
    del rest


async def look_on(times: int) -> None:
    # What looks on is never parked itself.
    await pulse.spawn(rounds(times), max_tier=InterventionAction.WARN)


def run_and_close(times: int) -> None:
    for factory in offending.FACTORIES:
        loop = factory()
        pulse.install(offending.CONFIG, loop=loop)
        loop.run_until_complete(look_on(max(times // (3 * CROWD * POLLS), 1)))
        loop.close()
        del loop
        gc.collect()
    gc.collect()
    measuring.wait_for_core_threads(0)


logging.disable(logging.CRITICAL)
measuring.assert_memory_is_bounded(run_and_close, measuring.rounds(short=24_000, long=1_000_000), 2_000_000)
print("ok")
