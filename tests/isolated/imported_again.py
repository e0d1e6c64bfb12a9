"""Each import of the core is a module of its own, and goes with the last reference to it."""

from __future__ import annotations

import gc
import importlib
import sys
import types
from collections.abc import Generator

import measuring

import asyncio_pulse


@types.coroutine
def pause() -> Generator[None, None, None]:
    yield


async def work() -> None:
    await pause()


def import_and_use(times: int) -> None:
    kept = sys.modules.pop("asyncio_pulse._core")
    try:
        for _ in range(times):
            core = importlib.import_module("asyncio_pulse._core")
            assert core is not kept
            governor = core.Governor(0)
            governed = governor.task_factory(lambda loop, coro: coro)(None, work())
            governed.send(None)
            assert governor.counters()["polls"] == 1
            core.start_watchdog(10_000)
            core.stop_watchdog()
            governed.close()
            del sys.modules["asyncio_pulse._core"], asyncio_pulse._core, core, governor, governed
            gc.collect()
    finally:
        sys.modules["asyncio_pulse._core"] = asyncio_pulse._core = kept
    measuring.wait_for_core_threads(0)


measuring.assert_memory_is_bounded(import_and_use, measuring.rounds(short=100, long=5_000), 500_000)
print("ok")
