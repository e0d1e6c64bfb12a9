"""Tasks that are no offenders and wait for what is parked: who they are is told, where it can be seen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse.config import InterventionAction
from asyncio_pulse.metrics import KeptWaiting
from asyncio_pulse.runtime.loop_values import slow_queue
from tests.support.loops import LoopFactory
from tests.support.offenders import GROUP, burn, run, spawn_offender, strict_config

SLICE_US = 1_000
OTHERS, WAITS = 20, 4
Step = Callable[[], Awaitable[object]]


def seen(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the loop shows what is ready."""
    return hasattr(loop, "_ready")


async def served_beside_others(wait: Callable[[], Coroutine[Any, Any, object]], serve: Step) -> tuple[KeptWaiting, ...]:
    """Let one offender among others do something again and again, and another task wait for it, a few times."""
    over = False

    async def hog() -> None:
        while not over:
            burn(SLICE_US)
            await asyncio.sleep(0)

    async def service() -> None:
        while not over:
            await serve()
            await asyncio.sleep(0)

    offenders = [spawn_offender(hog()) for _ in range(OTHERS)]
    offenders.append(spawn_offender(service()))
    before = slow_queue(pulse.get_manager().governor).parked
    for _ in range(WAITS):
        await pulse.spawn(wait(), group="good", max_tier=InterventionAction.WARN)
    assert slow_queue(pulse.get_manager().governor).parked > before + OTHERS
    over = True
    await asyncio.gather(*offenders)
    return slow_queue(pulse.get_manager().governor).kept_waiting


@pytest.mark.parametrize("through", ["queue", "lock", "event"])
def test_who_was_kept_waiting_by_whom_is_told(loop_factory: LoopFactory, through: str) -> None:
    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        event, lock = asyncio.Event(), asyncio.Lock()

        async def wait() -> None:
            if through == "queue":
                await queue.get()
            elif through == "event":
                event.clear()
                await event.wait()
            else:
                while not lock.locked():
                    await asyncio.sleep(0)
                await lock.acquire()
                lock.release()

        async def serve() -> None:
            if queue.empty():
                queue.put_nowait(0)
            event.set()
            # Not in an `async with`, or it would be known to hold the lock, and be served before the others.
            if lock.locked():
                lock.release()
            await lock.acquire()

        kept = [each for each in await served_beside_others(wait, serve) if each.waiter.endswith(".wait")]
        if not seen(asyncio.get_running_loop()):
            assert not kept
            return
        assert len(kept) == 1
        assert kept[0].holder.endswith(".service")
        assert kept[0].group == GROUP
        assert 1 <= kept[0].count <= WAITS + 1
        slow_ns = pulse.get_manager().config.slow_poll_threshold_ms * 1_000_000
        assert kept[0].longest_ns > slow_ns

    run(loop_factory, main, strict_config(slow_poll_threshold_ms=1))


@pytest.mark.parametrize(
    ("slow_ms", "waiters", "servers"),
    [
        (1, {"group": "good", "max_tier": InterventionAction.WARN}, {"max_tier": InterventionAction.WARN}),
        (1, {"group": GROUP}, {}),
        (60_000, {"group": "good", "max_tier": InterventionAction.WARN}, {}),
    ],
    ids=["by a service", "among offenders", "for less than a slow poll"],
)
def test_nobody_was_kept_waiting(
    loop_factory: LoopFactory, slow_ms: int, waiters: dict[str, Any], servers: dict[str, Any]
) -> None:
    async def main() -> None:
        event, over = asyncio.Event(), False

        async def hog() -> None:
            while not over:
                burn(SLICE_US)
                await asyncio.sleep(0)

        async def serve() -> None:
            while not over:
                event.set()
                event.clear()
                await asyncio.sleep(0)

        tasks = [*(spawn_offender(hog()) for _ in range(OTHERS)), spawn_offender(serve(), **servers)]
        for _ in range(WAITS):
            await asyncio.wait([pulse.spawn(event.wait(), **waiters)])
        assert slow_queue(pulse.get_manager().governor).parked > OTHERS
        assert slow_queue(pulse.get_manager().governor).kept_waiting == ()
        over = True
        await asyncio.gather(*tasks)

    run(loop_factory, main, strict_config(slow_poll_threshold_ms=slow_ms))
