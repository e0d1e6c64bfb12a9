"""The interpreter ends while tasks are pending, in calls and in generators: quietly, and with exit code 0."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncio_pulse as pulse
from asyncio_pulse import errors

kept: list[object] = []


@pulse.governed(group="call")
async def call() -> None:
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        kept.append("ended")


async def numbers() -> AsyncIterator[int]:
    try:
        while True:
            yield 1
            await call()
    finally:
        kept.append("ended")


async def iterate() -> None:
    async for _ in numbers():
        pass


def leave_pending(loop: asyncio.AbstractEventLoop) -> None:
    loop.set_exception_handler(lambda loop, context: None)
    for _ in range(50):
        kept.append(loop.create_task(call()))
        loop.create_task(iterate())
        kept.append(loop.create_task(asyncio.sleep(1000)))
    loop.run_until_complete(asyncio.sleep(0.01))
    # Created, and never begun.
    kept.append(loop.create_task(call()))
    kept.append(loop)


leave_pending(pulse.new_event_loop())
with contextlib.suppress(errors.UnavailableError):
    leave_pending(pulse.new_uvloop_event_loop())
closed = pulse.new_event_loop()
leave_pending(closed)
closed.close()
print("ok")
