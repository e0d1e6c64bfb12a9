"""Installed and uninstalled thousands of times in one process: threads, callbacks and memory stay as they were."""

from __future__ import annotations

import asyncio
import gc

import measuring

import asyncio_pulse as pulse
from asyncio_pulse import _core as core


async def work() -> None:
    await asyncio.sleep(0)


def install_and_uninstall(times: int) -> None:
    for number in range(times):
        manager = pulse.install(loop=loop)
        if number % 100 == 0:
            loop.run_until_complete(work())
            assert manager.get_metrics().polls == 2
            measuring.wait_for_core_threads(measuring.CORE_THREADS)
            assert gc.callbacks.count(core.gc_callback) == 1
        pulse.uninstall(loop=loop)
        assert loop.get_task_factory() is None


loop = asyncio.new_event_loop()
callbacks = list(gc.callbacks)
# The first folding of what closed loops leave takes a megabyte; after that nothing grows.
measuring.assert_memory_is_bounded(install_and_uninstall, measuring.rounds(short=3_000, long=100_000), 2_000_000)
assert gc.callbacks == callbacks
measuring.wait_for_core_threads(0)
loop.close()
print("ok")
