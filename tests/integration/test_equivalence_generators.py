"""Asynchronous generators and context managers behave in a governed task as in a plain one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from tests.support.comparison import compare, ending, suspend, tell
from tests.support.loops import LoopFactory


async def echo(log: list[str]) -> AsyncGenerator[object, object]:
    received: object = "begun"
    try:
        while True:
            await suspend()
            try:
                received = yield received
            except ValueError as error:
                log.append(tell(error))
                received = "caught"
    except GeneratorExit as error:
        log.append(tell(error))
        raise
    finally:
        await asyncio.sleep(0)
        log.append("finally")


def test_send_throw_and_close(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        log: list[str] = []
        generator = echo(log)
        seen: list[object] = [await ending(generator.asend("too early"))]
        seen += [await anext(generator), await generator.asend(1), await generator.asend((2, 3))]
        seen += [await generator.athrow(ValueError("thrown")), await ending(generator.athrow(KeyError("fatal")))]
        seen += [await ending(anext(generator)), await generator.aclose()]  # type: ignore[func-returns-value]
        second = echo(log)
        await anext(second)
        await second.aclose()
        seen.append(await ending(anext(second)))
        return seen + log

    assert "StopAsyncIteration" in str(compare(loop_factory, scenario).outcome)


def test_two_tasks_drive_one_generator(loop_factory: LoopFactory) -> None:
    async def advance(generator: AsyncGenerator[object, object]) -> object:
        return await ending(anext(generator))

    async def scenario() -> list[object]:
        generator = echo([])
        results = await asyncio.gather(advance(generator), advance(generator))
        await generator.aclose()
        return results

    assert "already running" in str(compare(loop_factory, scenario).outcome)


def test_a_generator_dropped_half_way_is_finished_by_the_loop(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[str]:
        log: list[str] = []

        async def drops() -> None:
            async for _ in echo(log):
                break

        await asyncio.create_task(drops())
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        return log

    outcome = compare(loop_factory, scenario).outcome
    assert isinstance(outcome, list)
    assert outcome[-1] == "finally"


def test_generators_alive_at_the_end_are_shut_down(loop_factory: LoopFactory) -> None:
    runs: list[list[str]] = []
    kept: list[Any] = []

    async def fails_to_close() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            raise ValueError("will not close")

    async def scenario() -> None:
        runs.append([])
        kept.extend([echo(runs[-1]), fails_to_close()])
        for generator in kept[-2:]:
            await anext(generator)

    observation = compare(loop_factory, scenario)
    kept.clear()
    gc.collect()
    assert runs[0][-1] == "finally"
    assert runs[0] == runs[1]
    assert "will not close" in str(observation.complaints)


def test_a_generator_of_a_cancelled_task(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        log: list[str] = []

        async def consumes() -> None:
            async with contextlib.aclosing(echo(log)) as generator:
                async for _ in generator:
                    await asyncio.sleep(3600)

        task = asyncio.create_task(consumes(), name="consumes")
        for _ in range(4):
            await asyncio.sleep(0)
        task.cancel("enough")
        return [await ending(task), log]

    assert "enough" in str(compare(loop_factory, scenario).outcome)


def test_asynchronous_context_managers(loop_factory: LoopFactory) -> None:
    @contextlib.asynccontextmanager
    async def manager(log: list[str]) -> AsyncIterator[str]:
        await suspend()
        try:
            yield "inside"
        except KeyError as error:
            log.append(tell(error))
        finally:
            await suspend()
            log.append("left")

    async def uses(log: list[str], error: BaseException | None) -> str:
        async with manager(log) as value:
            if error is not None:
                raise error
            return value
        return "swallowed"

    async def scenario() -> list[object]:
        log: list[str] = []
        errors = [None, KeyError("swallowed"), StopIteration(1), StopAsyncIteration(2), GeneratorExit("out")]
        return [await ending(asyncio.create_task(uses(log, error), name="uses")) for error in errors] + [log]

    compare(loop_factory, scenario)


def test_comprehensions_and_asynchronous_iteration(loop_factory: LoopFactory) -> None:
    async def numbers(count: int) -> AsyncIterator[int]:
        for number in range(count):
            await asyncio.sleep(0)
            yield number

    async def scenario() -> list[object]:
        queue = asyncio.Queue[int | None]()

        async def produce() -> None:
            async for number in numbers(3):
                await queue.put(number)
            await queue.put(None)

        task = asyncio.create_task(produce())
        received = [number async for number in numbers(4) if number % 2]
        while (item := await queue.get()) is not None:
            received.append(item)
        await task
        return [received, {number: number async for number in numbers(2)}]

    assert compare(loop_factory, scenario).outcome == [[1, 3, 0, 1, 2], {0: 0, 1: 1}]
