"""Critical sections that a task holds open through a suspended generator, and guards of generators."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

import asyncio_pulse as pulse
from tests.support.loops import LoopFactory
from tests.support.preempting import MANY, WITHIN_S, endanger, preemptions

lock = threading.Lock()


def some_work(rounds: int = 300) -> None:
    for _ in range(rounds):
        pass


def rows() -> Iterator[int]:
    with lock:
        yield from range(3)


def rows_by_hand() -> Iterator[int]:
    lock.acquire()
    try:
        yield from range(3)
    finally:
        lock.release()


def pages() -> Iterator[int]:
    for row in rows():
        some_work(20)
        yield row


async def arriving() -> AsyncIterator[int]:
    with lock:
        for row in range(3):
            yield row


async def _a_loop() -> None:
    for _ in rows():
        some_work()


async def _a_loop_over_a_loop() -> None:
    for _ in pages():
        some_work()


async def _a_section_without_with() -> None:
    for _ in rows_by_hand():
        some_work()


async def _an_asynchronous_loop() -> None:
    async for _ in arriving():
        some_work()


async def _an_exit_stack() -> None:
    stack = contextlib.ExitStack()
    stack.enter_context(lock)
    some_work()
    stack.close()


async def _a_variable() -> None:
    held = rows()
    next(held)
    some_work()
    held.close()


async def _a_variable_of_a_closure() -> None:
    held = rows()
    next(held)

    def close() -> None:
        held.close()

    some_work()
    close()


async def _a_call_inside() -> None:
    def total() -> int:
        found = 0
        for row in rows():
            found += row
            some_work()
        return found

    total()


HOLDING = (
    _a_loop,
    _a_loop_over_a_loop,
    _a_section_without_with,
    _an_asynchronous_loop,
    _an_exit_stack,
    _a_variable,
    _a_variable_of_a_closure,
    _a_call_inside,
)


@pytest.mark.parametrize("work", HOLDING)
def test_a_lock_in_a_suspended_generator_is_not_left_behind(
    work: Callable[[], Coroutine[Any, Any, None]], loop_factory: LoopFactory
) -> None:
    async def holding() -> None:
        await work()
        some_work()

    # A second task would wait for ever for the first.
    endanger(holding, loop_factory, rule="critical", tasks=1, wrong=lock.locked)


def test_a_generator_that_holds_nothing_forbids_nothing(loop_factory: LoopFactory) -> None:
    inside = [0]
    found = [0]

    def plain() -> Iterator[int]:
        yield from range(3)

    async def consuming() -> None:
        spare = plain()
        next(spare)
        for _ in plain():
            inside[0] += 1
            some_work()
            inside[0] -= 1

    def is_left_inside() -> bool:
        found[0] += inside[0] > 0
        return False

    endanger(consuming, loop_factory, times=MANY // 4, wrong=is_left_inside)
    assert found[0] > 0


def test_a_section_that_ended_forbids_nothing(loop_factory: LoopFactory) -> None:
    async def consuming() -> None:
        done = rows()
        assert list(done) == [0, 1, 2]
        some_work(3_000)

    endanger(consuming, loop_factory, times=MANY // 4)


def test_the_default_level_heeds_a_generator_beyond_the_await(loop_factory: LoopFactory) -> None:
    async def consuming() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        for row in rows():
            await queue.put(row)
            await queue.get()
        await queue.put(0)

    held = [0]

    async def main() -> None:
        end = time.monotonic() + WITHIN_S

        async def repeat() -> None:
            while preemptions() < 5 and time.monotonic() < end:
                await consuming()

        task = asyncio.create_task(repeat())
        while not task.done():
            held[0] += lock.locked()
            await asyncio.sleep(0)
        assert preemptions() >= 5

    pulse.run(main(), loop_factory=loop_factory)
    assert held[0] == 0


def test_a_generator_cannot_be_guarded_as_a_whole() -> None:
    guard = pulse.no_preempt()
    for function in (rows, arriving):
        with pytest.raises(TypeError, match=rf"{function.__name__}\(\) is a generator.*with no_preempt\(\)"):
            guard(function)


def test_tasks_may_share_a_guard(loop_factory: LoopFactory) -> None:
    guard = pulse.no_preempt()
    inside = [0]

    async def computing() -> None:
        inside[0] += 1
        some_work(3_000)
        inside[0] -= 1

    async def sharing() -> None:
        with guard:
            await asyncio.sleep(0)
            # Beyond this await the `with` itself forbids nothing.
            await computing()
        some_work()

    endanger(sharing, loop_factory, rule="guarded", times=MANY // 4, wrong=lambda: inside[0])
