"""Loops that await only what is ready are left where what they await begins; nothing opted in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.conftest import LoopFactory
from tests.integration.preempting import (
    put_at_yield,
    run_preempting,
    until_preempted,
)

pytestmark = pytest.mark.timing


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


@pytest.mark.parametrize("looping", [never_empty_queue, uncontended_lock, ready_items, full_buffer, computing_between])
def test_loops_over_ready_awaits_are_left_at_await_points(
    loop_factory: LoopFactory, looping: Callable[[asyncio.Event], Any]
) -> None:
    async def main() -> None:
        done = asyncio.Event()
        # Nothing opted in.
        task = asyncio.create_task(looping(done))
        put_at_yield(task)
        await until_preempted(20)
        done.set()
        await task

    run_preempting(main(), loop_factory, preemptible_modules=())
