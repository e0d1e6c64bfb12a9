"""Governed loops opened and closed, and never uninstalled, go with the last reference to them."""

from __future__ import annotations

import asyncio
import gc

import measuring

import asyncio_pulse as pulse
from asyncio_pulse import _core as core
from asyncio_pulse import errors

FACTORIES = [pulse.new_event_loop]
try:
    pulse.new_uvloop_event_loop().close()
    FACTORIES.append(pulse.new_uvloop_event_loop)
except errors.UnavailableError:
    pass


async def work() -> int:
    await asyncio.sleep(0)
    return 42


def open_and_close(times: int) -> None:
    for number in range(times):
        loop = FACTORIES[number % len(FACTORIES)]()
        assert loop.run_until_complete(work()) == 42
        loop.close()
    del loop
    gc.collect()
    measuring.wait_for_core_threads(0)


measuring.assert_memory_is_bounded(open_and_close, measuring.rounds(short=1_000, long=30_000), 4_000_000)
assert core.gc_callback not in gc.callbacks
print("ok")
