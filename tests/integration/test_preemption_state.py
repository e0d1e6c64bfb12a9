"""What belongs to a task stays its own, however often it is left in the middle of its code."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import itertools
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Iterator

import pytest

import asyncio_pulse as pulse
from tests.support.loops import LoopFactory
from tests.support.preempting import endanger, run_preempting, until_preempted

variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)


def test_the_context_is_the_tasks_own(loop_factory: LoopFactory) -> None:
    numbers = itertools.count(1)
    mine: contextvars.ContextVar[int] = contextvars.ContextVar("mine")
    called: set[bool] = set()

    def inside(number: int) -> None:
        # Run by C code, which enters this context until it returns.
        for _ in range(500):
            assert variable.get() == -number

    async def computing() -> None:
        number = next(numbers)
        variable.set(number)
        for _ in range(2_000):
            assert variable.get() == number
        asyncio.get_running_loop().call_soon(lambda: called.add(variable.get() >= number))
        other = contextvars.copy_context()
        other.run(variable.set, -number)
        other.run(inside, number)
        await asyncio.sleep(0)
        assert variable.get() == number
        # Set here, seen in the next piece of work of this task alone.
        mine.set(mine.get(0) + 1)
        assert mine.get() <= number

    endanger(computing, loop_factory, rule="c_code", wrong=lambda: variable.get() != 0)
    assert called == {True}


def test_the_context_is_the_very_one_that_the_task_was_given(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async def computing(done: asyncio.Event) -> None:
            assert variable.get() == -1
            variable.set(1)
            while not done.is_set():
                pass
            variable.set(variable.get() + 1)

        variable.set(-1)
        done, context = asyncio.Event(), contextvars.copy_context()
        task = pulse.spawn(computing(done), preemptible=True, context=context)
        await until_preempted(10)
        # Set while it is in the middle of its code: it sees that, and others see what it sets.
        assert context[variable] == 1
        context.run(variable.set, 10)
        done.set()
        await task
        assert context[variable] == 11
        assert variable.get() == -1

    run_preempting(main(), loop_factory)


def test_exceptions_keep_their_state_and_traceback(loop_factory: LoopFactory) -> None:
    numbers = itertools.count()
    lost = 0

    def failing(number: int) -> None:
        nonlocal lost
        try:
            raise KeyError(number)
        except KeyError as error:
            for _ in range(100):
                lost += sys.exc_info()[1] is not error
            raise LookupError(number) from error

    async def computing() -> None:
        number = next(numbers)
        assert sys.exc_info()[1] is None
        with pytest.raises(LookupError) as caught:
            failing(number)
        error = caught.value
        assert error.args == (number,)
        assert isinstance(error.__cause__, KeyError)
        assert error.__cause__.args == (number,)
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert names == ["computing", "failing"]
        for _ in range(100):
            assert sys.exc_info()[1] is None

    endanger(computing, loop_factory, rule="critical", wrong=lambda: lost or sys.exc_info()[1] is not None)


def test_each_has_its_own_depth_of_calls(loop_factory: LoopFactory) -> None:
    depths: dict[object, set[int]] = {}

    def deeper() -> int:
        try:
            return 1 + deeper()
        except RecursionError:
            return 1

    async def computing() -> None:
        depths.setdefault(asyncio.current_task(), set()).add(deeper())

    endanger(computing, loop_factory, rule="instruction")
    # At the very limit the handler of a signal, ours included, finds no room.
    assert max(max(each) - min(each) for each in depths.values()) <= 3
    assert min(min(each) for each in depths.values()) > sys.getrecursionlimit() / 2


def test_generators_are_left_inside_and_go_on(loop_factory: LoopFactory) -> None:
    def numbers(count: int) -> Iterator[int]:
        for number in range(count):  # noqa: UP028 - each must come to this frame
            yield number

    def delegated(count: int) -> Iterator[int]:
        yield from numbers(count)

    async def computing() -> None:
        assert list(delegated(5)) == list(range(5))
        total = 0
        for number in delegated(100):
            total += number
        assert total == sum(range(100))
        closed = numbers(3)
        assert next(closed) == 0
        closed.close()
        assert list(closed) == []

    endanger(computing, loop_factory, rule="c_code")


def test_async_generators_are_left_inside_and_go_on(loop_factory: LoopFactory) -> None:
    open_ones = 0

    async def numbers(count: int) -> AsyncIterator[int]:
        nonlocal open_ones
        open_ones += 1
        try:
            for number in range(count):
                for _ in range(10):
                    pass
                yield number
        except LookupError:
            yield -1
        finally:
            open_ones -= 1

    async def computing() -> None:
        before = asyncio.current_task()
        assert [number async for number in numbers(30)] == list(range(30))
        async with contextlib.aclosing(numbers(30)) as closed:
            async for number in closed:
                if number == 5:
                    break
        thrown = numbers(30)
        assert await anext(thrown) == 0
        assert await thrown.athrow(LookupError) == -1  # type: ignore[attr-defined]
        assert [number async for number in thrown] == []
        assert asyncio.current_task() is before

    endanger(computing, loop_factory, rule="module")
    assert open_ones == 0


class Made:
    """Something whose making takes time, by the class's own code and by that of the one beneath."""

    def __init__(self, number: int) -> None:
        self.number = sum([number for _ in range(10)])
        for _ in range(20):
            pass


class MadeOfMore(Made):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        for _ in range(20):
            pass


def test_objects_are_left_while_they_are_made(loop_factory: LoopFactory) -> None:
    async def computing() -> None:
        # Often enough for the interpreter to inline the call.
        for number in range(20):
            assert Made(number).number == MadeOfMore(number).number == 10 * number

    endanger(computing, loop_factory)


def test_the_collector_runs_beside_and_inside(loop_factory: LoopFactory) -> None:
    class Node:
        itself: object

        def __del__(self) -> None:
            collected.append(threading.current_thread() is threading.main_thread())
            for _ in range(20):
                pass

    collected: list[bool] = []
    made = itertools.count()

    async def computing() -> None:
        for _ in range(20):
            node = Node()
            node.itself = [node]
            next(made)
            for _ in range(20):
                pass
        if next(made) % 5 == 0:
            gc.collect(0)

    threshold = gc.get_threshold()
    gc.set_threshold(50)
    try:
        endanger(computing, loop_factory, rule="critical")
        gc.collect()
    finally:
        gc.set_threshold(*threshold)
    assert all(collected)
    assert len(collected) % 20 == 0
    assert len(collected) > 100


def test_the_running_task_is_known(loop_factory: LoopFactory) -> None:
    async def computing() -> None:
        me = asyncio.current_task()
        view = pulse.current()
        for _ in range(100):
            assert asyncio.current_task() is me
            assert pulse.current()._governed is view._governed

    endanger(computing, loop_factory, wrong=lambda: pulse.current()._governed is None)
