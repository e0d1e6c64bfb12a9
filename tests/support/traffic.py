"""Requests as a service gets them, and what became of the accounts."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

import asyncio_pulse as pulse

Handler = Callable[[int], Coroutine[Any, Any, None]]


MOST_AT_ONCE_S = 0.005


def burn(ms: float) -> None:
    """Use the CPU for so long, whoever else wants it: also if a virtual machine counts as used what it was not given."""
    left, before = ms / 1000, time.thread_time()
    while left > 0:
        now = time.thread_time()
        left -= min(now - before, MOST_AT_ONCE_S)
        before = now


async def arrive(handler: Handler, group: str, *, per_second: float, seconds: float) -> None:
    """Start requests at random moments, whether those before are done or not, and wait for all."""
    loop = asyncio.get_running_loop()
    chance = random.Random(group)
    tasks, due = [], loop.time()
    end = due + seconds
    while due < end:
        if due > loop.time():
            await asyncio.sleep(due - loop.time())
        tasks.append(pulse.spawn(handler(len(tasks)), group=group))
        due += chance.expovariate(per_second)
    await asyncio.gather(*tasks)


def polls_of(ms: float, *, one_in: int = 1) -> Handler:
    """Make a handler that takes so long in one of so many requests, and next to nothing in the others."""

    async def handle(number: int) -> None:
        await asyncio.sleep(0)
        if number % one_in == 0:
            burn(ms)

    return handle


def highest_tier(manager: pulse.TierManager) -> int:
    """Tell the highest tier that any account of a task or group ever came to."""
    return max((change.after for change in manager.audit()), default=0)
