"""Loops that await only what is ready are left where what they await begins; nothing opted in."""

from __future__ import annotations

import asyncio
import importlib.util
import statistics
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncio_pulse.testing import chaos
from tests.support.loops import LoopFactory
from tests.support.preempting import (
    AT_ONCE_US,
    preemptions,
    put_at_yield,
    refused,
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


LIBRARY = """
entered = []


async def look_whether_cancelled():
    pass


async def enter():
    before = len(entered)
    await look_whether_cancelled()
    entered.append(before)
    return before
"""


def read_library(directory: Path) -> Any:
    """Import it from there."""
    directory.mkdir(parents=True)
    (directory / "its_library.py").write_text(LIBRARY)
    found = importlib.util.spec_from_file_location("its_library", directory / "its_library.py")
    assert found is not None
    assert found.loader is not None
    library = importlib.util.module_from_spec(found)
    found.loader.exec_module(library)
    return library


@pytest.mark.parametrize(
    ("directory", "named", "whole"),
    [
        ("site-packages", (), True),
        ("dist-packages", ("others",), True),
        ("application", (), False),
        ("site-packages", ("its_library",), False),
        ("site-packages", ("*",), False),
    ],
)
def test_a_library_is_not_left_where_it_awaits_itself(
    loop_factory: LoopFactory, tmp_path: Path, directory: str, named: tuple[str, ...], whole: bool
) -> None:
    library = read_library(tmp_path / directory)

    async def use() -> Any:
        return await library.enter()

    async def main() -> None:
        with chaos(1, park=0.0, preempt=1.0):
            numbers = await asyncio.gather(*(use() for _ in range(20)))
        # Each was left where it awaits the library.
        assert preemptions() >= 20
        assert (sorted(numbers) == list(range(20))) == whole

    run_preempting(main(), loop_factory, preemptible_modules=named)


def test_a_lock_of_anyio_has_one_owner(loop_factory: LoopFactory) -> None:
    """It looks whether it is cancelled between seeing that it is free and taking hold."""
    inside: list[int] = []

    async def enter(lock: anyio.Lock, number: int) -> None:
        async with lock:
            inside.append(number)
            await anyio.sleep(0)
            assert inside.pop() == number
            assert not inside

    async def main() -> None:
        lock = anyio.Lock()
        with chaos(1, park=0.0, preempt=1.0):
            async with anyio.create_task_group() as group:
                for number in range(5):
                    group.start_soon(enter, lock, number)
        assert preemptions() >= 5

    run_preempting(main(), loop_factory, preemptible_modules=())


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

    # Three on a machine that does nothing else, which the benchmark tells. Where awaits are thousands of boundaries apart,
    # several requests come to nothing before one is heard.
    most = 20 if looping is computing_between else 5
    assert run_preempting(main(), loop_factory, poll_budget_us=BUDGET_US, preemptible_modules=()) < most * BUDGET_US
