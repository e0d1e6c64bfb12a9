"""Loops that await only what is ready are left where what they await begins; nothing opted in."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.conftest import LoopFactory
from tests.integration.preempting import (
    AT_ONCE_US,
    preemptions,
    put_at_yield,
    refused,
    run_preempting,
    until_preempted,
)


async def never_empty_queue(done: asyncio.Event) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    while not done.is_set():
        await queue.put(1)
        await queue.get()


async def uncontended_lock(done: asyncio.Event) -> None:
    lock = asyncio.Lock()
    while not done.is_set():
        async with lock:
            pass


async def ready_items(done: asyncio.Event) -> None:
    async def items() -> AsyncIterator[int]:
        while not done.is_set():
            yield 1

    async for _ in items():
        pass


async def full_buffer(done: asyncio.Event) -> None:
    reader = asyncio.StreamReader(limit=1 << 20)
    while not done.is_set():
        reader.feed_data(b"line\n" * 100)
        for _ in range(100):
            await reader.readline()


async def computing_between(done: asyncio.Event) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    while not done.is_set():
        for _ in range(5_000):
            pass
        await queue.put(1)
        await queue.get()


LOOPS = [never_empty_queue, uncontended_lock, ready_items, full_buffer, computing_between]


@pytest.mark.parametrize("looping", LOOPS)
def test_loops_over_ready_awaits_are_left_at_await_points(
    loop_factory: LoopFactory, looping: Callable[[asyncio.Event], Any]
) -> None:
    async def main() -> None:
        done = asyncio.Event()
        # Nothing opted in.
        task = asyncio.create_task(looping(done))
        put_at_yield(task)
        await until_preempted(100)
        done.set()
        await task
        assert refused("instruction") > 0

    run_preempting(main(), loop_factory, preemptible_modules=(), poll_budget_us=AT_ONCE_US)


BUDGET_US = 2_000


@pytest.mark.parametrize("looping", LOOPS)
def test_a_heartbeat_beside_them_is_late_by_a_few_budgets(
    loop_factory: LoopFactory, looping: Callable[[asyncio.Event], Any]
) -> None:
    async def main() -> float:
        done = asyncio.Event()
        task = asyncio.create_task(looping(done))
        put_at_yield(task)
        late = []
        for _ in range(100):
            due = time.thread_time()
            await asyncio.sleep(0.0005)
            # What this thread, not the machine, did meanwhile.
            late.append((time.thread_time() - due) * 1e6)
        done.set()
        await task
        assert preemptions() >= 50
        return statistics.median(late)

    # Three on a machine that does nothing else, which the benchmark tells.
    assert run_preempting(main(), loop_factory, poll_budget_us=BUDGET_US, preemptible_modules=()) < 5 * BUDGET_US
