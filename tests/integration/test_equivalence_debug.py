"""In asyncio's debug mode a governed loop complains of the same things, in the same words."""

from __future__ import annotations

import asyncio
import gc
import time
import types
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse.lowlevel import GovernedCoroutine
from tests.support.comparison import Observation, compare, ending, suspend
from tests.support.loops import LoopFactory

with_and_without_debug = pytest.mark.parametrize("debug", [False, True], ids=["plain mode", "debug mode"])


def complaints(observation: Observation) -> str:
    return "\n".join(observation.complaints)


async def work() -> str:
    await asyncio.sleep(0)
    return "done"


async def creates_work() -> asyncio.Task[str]:
    return asyncio.create_task(work(), name="work")


def test_where_a_task_was_created(loop_factory: LoopFactory) -> None:
    def place(task: Any) -> object:
        return [(frame.filename, frame.lineno, frame.name) for frame in task._source_traceback or []]

    async def scenario() -> list[object]:
        loop = asyncio.get_running_loop()
        tasks = [await creates_work(), loop.create_task(work()), asyncio.ensure_future(work())]
        async with asyncio.TaskGroup() as group:
            tasks.append(group.create_task(work()))
        tasks += asyncio.gather(work())._children  # type: ignore[attr-defined]
        seen = [(place(task), repr(task)) for task in tasks]
        await asyncio.wait(tasks)
        return [*seen, *map(repr, tasks)]

    outcome = compare(loop_factory, scenario, debug=True).outcome
    assert isinstance(outcome, list)
    assert [frame[2] for frame in outcome[0][0][-2:]] == ["creates_work", "create_task"]


def test_where_a_coroutine_was_created(loop_factory: LoopFactory) -> None:
    async def scenario() -> object:
        task = await creates_work()
        coro: Any = task.get_coro()
        await task
        return coro.cr_origin

    assert "creates_work" in str(compare(loop_factory, scenario, debug=True).outcome)


@with_and_without_debug
def test_a_coroutine_that_is_never_awaited(loop_factory: LoopFactory, debug: bool) -> None:
    async def scenario() -> None:
        work()
        await suspend()

    assert "was never awaited" in complaints(compare(loop_factory, scenario, debug=debug))


@with_and_without_debug
def test_a_task_that_never_starts(loop_factory: LoopFactory, debug: bool) -> None:
    async def scenario() -> None:
        asyncio.create_task(work(), name="not started").cancel()
        await suspend()

    compare(loop_factory, scenario, debug=debug)


@with_and_without_debug
def test_a_loop_is_closed_before_a_task_starts(loop_factory: LoopFactory, debug: bool) -> None:
    async def scenario() -> None:
        other = loop_factory()
        if isinstance(asyncio.current_task().get_coro(), GovernedCoroutine):  # type: ignore[union-attr]
            pulse.install(loop=other)
        other.set_debug(debug)
        other.create_task(work(), name="never started")
        other.close()

    found = complaints(compare(loop_factory, scenario, debug=debug))
    assert "was never awaited" in found
    assert "Task was destroyed but it is pending!" in found


@with_and_without_debug
def test_a_pending_task_is_dropped(loop_factory: LoopFactory, debug: bool) -> None:
    async def waits() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            seen.append("finally")

    seen: list[str] = []

    async def scenario() -> None:
        asyncio.create_task(waits(), name="dropped")
        await asyncio.sleep(0)
        gc.collect()
        await asyncio.sleep(0)

    found = complaints(compare(loop_factory, scenario, debug=debug))
    assert "Task was destroyed but it is pending!" in found
    assert ("Object created at" in found) is debug
    assert seen == ["finally"] * 3


@with_and_without_debug
def test_a_pending_task_that_does_not_close_is_dropped(loop_factory: LoopFactory, debug: bool) -> None:
    async def refuses() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)

    async def scenario() -> None:
        asyncio.create_task(refuses(), name="refuses")
        await asyncio.sleep(0)
        gc.collect()
        await asyncio.sleep(0)

    assert "coroutine ignored GeneratorExit" in complaints(compare(loop_factory, scenario, debug=debug))


@with_and_without_debug
def test_an_error_that_nobody_retrieves(loop_factory: LoopFactory, debug: bool) -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("nobody asks")

    async def scenario() -> None:
        task = asyncio.create_task(fails(), name="fails")
        await asyncio.wait([task])

    found = complaints(compare(loop_factory, scenario, debug=debug))
    assert "Task exception was never retrieved" in found
    assert ("Object created at" in found) is debug


@pytest.mark.timing
def test_a_slow_step_is_reported(loop_factory: LoopFactory) -> None:
    async def slow() -> None:
        time.sleep(0.02)
        await asyncio.sleep(0)
        time.sleep(0.02)

    async def scenario() -> None:
        asyncio.get_running_loop().slow_callback_duration = 0.01
        await asyncio.create_task(slow(), name="slow")

    assert complaints(compare(loop_factory, scenario, debug=True)).count("Executing") == 2


@with_and_without_debug
def test_a_coroutine_is_awaited_twice(loop_factory: LoopFactory, debug: bool) -> None:
    async def scenario() -> list[object]:
        coro = work()
        first = await asyncio.create_task(coro)
        return [first, await ending(coro), await ending(asyncio.create_task(coro, name="again"))]

    assert "cannot reuse already awaited coroutine" in str(compare(loop_factory, scenario, debug=debug).outcome)


@with_and_without_debug
def test_a_coroutine_in_two_tasks(loop_factory: LoopFactory, debug: bool) -> None:
    async def scenario() -> list[object]:
        coro = work()
        tasks = [asyncio.create_task(coro, name=f"task {number}") for number in range(2)]
        return [await ending(task) for task in tasks]

    compare(loop_factory, scenario, debug=debug)


def test_a_call_from_the_wrong_thread_is_refused(loop_factory: LoopFactory) -> None:
    async def scenario() -> object:
        loop = asyncio.get_running_loop()
        error = await ending(asyncio.to_thread(loop.call_soon, print))
        return str(error).splitlines()[-1]

    assert "Non-thread-safe operation" in str(compare(loop_factory, scenario, debug=True).outcome)


def test_generator_based_coroutines_in_debug_mode(loop_factory: LoopFactory) -> None:
    @types.coroutine
    def old_style() -> Any:
        yield
        return "old"

    async def new_style() -> object:
        return await old_style()

    async def scenario() -> object:
        return await asyncio.create_task(new_style(), name="new style")

    assert compare(loop_factory, scenario, debug=True).outcome == "old"
