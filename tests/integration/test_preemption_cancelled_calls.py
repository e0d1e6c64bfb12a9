"""Cancelling a task that awaits a governed call, which was suspended in the middle of its code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

import asyncio_pulse as pulse
from tests.support.loops import LoopFactory
from tests.support.preempting import preemptions, run_preempting, until_preempted


class Protected:
    """A governed call that cleans up until it is told to go on, and computes then; it ends by itself after some time."""

    def __init__(self) -> None:
        self.begun, self.told = asyncio.Event(), asyncio.Event()
        self.end = time.perf_counter() + 10

    async def go_through(self) -> None:
        try:
            pass
        finally:
            self.begun.set()
            while not self.told.is_set() and time.perf_counter() < self.end:
                pass
        while time.perf_counter() < self.end:
            pass

    call = pulse.governed(preemptible=True)(go_through)

    async def through_another(self) -> None:
        await self.call()


@pytest.mark.parametrize("shape", [Protected.call, Protected.through_another])
@pytest.mark.parametrize("how", ["task", "scope"])
def test_it_is_cancelled_at_a_later_place_and_preempted_until_then(
    loop_factory: LoopFactory, how: str, shape: Callable[[Protected], Coroutine[Any, Any, None]]
) -> None:
    async def main() -> None:
        protected = Protected()
        scope = anyio.CancelScope()

        async def work() -> None:
            with scope:
                await shape(protected)

        task = asyncio.create_task(work())
        await protected.begun.wait()
        before = preemptions()
        task.cancel() if how == "task" else scope.cancel()
        await until_preempted(before + 20)
        assert not task.done()
        protected.told.set()
        await asyncio.wait([task])
        assert time.perf_counter() < protected.end
        assert task.cancelled() if how == "task" else scope.cancelled_caught

    run_preempting(main(), loop_factory)
