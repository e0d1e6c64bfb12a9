"""The process forks, and the interpreter ends, while tasks are parked: the child goes on, and nothing crashes."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import warnings

import offending

import asyncio_pulse as pulse
from asyncio_pulse.config import InterventionAction

CROWD = 200
kept: list[object] = []


async def work(number: int) -> int:
    for _ in range(3):
        await asyncio.sleep(0)
    return number


async def park() -> list[asyncio.Task[int]]:
    await offending.offend()
    tasks = [pulse.spawn(work(number), group="offenders") for number in range(CROWD)]
    await asyncio.sleep(0)
    assert sum(pulse.get_manager().report().slow_queue.queue.queued) > CROWD / 2
    return tasks


async def look_on() -> list[asyncio.Task[int]]:
    # What looks on is never parked itself.
    return await pulse.spawn(park(), max_tier=InterventionAction.WARN)


def fork_while_parked() -> None:
    """A loop that is not running at the fork goes on in the child, and so do its parked tasks."""
    loop = asyncio.new_event_loop()
    pulse.install(offending.CONFIG, loop=loop)
    tasks = loop.run_until_complete(look_on())
    child = os.fork()
    results = loop.run_until_complete(asyncio.gather(*tasks))
    if child == 0:
        os._exit(0 if results == list(range(CROWD)) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, os.waitstatus_to_exitcode(status)
    assert results == list(range(CROWD))
    pulse.uninstall(loop=loop)
    loop.close()


def leave_parked() -> None:
    for factory in offending.FACTORIES:
        loop = factory()
        loop.set_exception_handler(lambda loop, context: None)
        pulse.install(offending.CONFIG, loop=loop)
        kept.append(loop.run_until_complete(look_on()))
        kept.append(loop)


logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
fork_while_parked()
leave_parked()
print("ok")
sys.stdout.flush()
