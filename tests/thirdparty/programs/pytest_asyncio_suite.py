"""A test suite of pytest-asyncio: fixtures that are generators, loops of several scopes, tests that cancel and time out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def queue() -> AsyncIterator[asyncio.Queue[int]]:
    queue: asyncio.Queue[int] = asyncio.Queue(2)
    yield queue
    await asyncio.sleep(0)
    assert queue.empty()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ticker() -> AsyncIterator[list[int]]:
    ticks: list[int] = []

    async def tick() -> None:
        while True:
            await asyncio.sleep(0)
            ticks.append(len(ticks))

    task = asyncio.create_task(tick())
    yield ticks
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("number", range(5))
async def test_order(queue: asyncio.Queue[int], number: int) -> None:
    async def produce() -> None:
        for item in range(10):
            await queue.put(item * number)

    async with asyncio.TaskGroup() as group:
        group.create_task(produce())
        assert [await queue.get() for _ in range(10)] == [item * number for item in range(10)]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("number", range(3))
async def test_shared_loop(ticker: list[int], number: int) -> None:
    seen = len(ticker)
    async with asyncio.timeout(30):
        while len(ticker) < seen + 10:
            await asyncio.sleep(0)
    assert ticker == list(range(len(ticker)))


async def test_timeout() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()


@pytest.mark.xfail(strict=True)
async def test_failure_is_seen() -> None:
    await asyncio.sleep(0)
    raise AssertionError
