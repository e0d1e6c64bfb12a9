"""Governed tasks work together as plain ones do: groups, timeouts, shields, cancellation, locks and queues."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.comparison import compare, ending, suspend, tell
from tests.support.loops import LoopFactory


async def value(number: int, steps: int = 1) -> int:
    for _ in range(steps):
        await asyncio.sleep(0)
    return number


async def fail(text: str, steps: int = 1) -> None:
    for _ in range(steps):
        await asyncio.sleep(0)
    raise ValueError(text)


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


def test_task_group(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(value(number, steps=number)) for number in range(5)]
        return [repr(group), *[task.result() for task in tasks], *map(repr, tasks)]

    compare(loop_factory, scenario)


def test_task_group_with_errors(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        tasks: list[asyncio.Task[Any]] = []

        async def group() -> None:
            async with asyncio.TaskGroup() as group:
                tasks.append(group.create_task(forever(), name="sibling"))
                tasks.append(group.create_task(fail("one"), name="one"))
                tasks.append(group.create_task(fail("two"), name="two"))
                await forever()

        return [await ending(group()), *map(repr, tasks), asyncio.current_task().cancelling()]  # type: ignore[union-attr]

    outcome = compare(loop_factory, scenario, parked=False).outcome
    assert "(2 sub-exceptions)" in str(outcome)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_task_group_with_an_error_that_ends_the_loop(loop_factory: LoopFactory, error: type[BaseException]) -> None:
    async def stop() -> None:
        await asyncio.sleep(0)
        raise error("from a child")

    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(stop(), name="stop")
            group.create_task(forever(), name="sibling")

    assert f"{error.__name__}: from a child" in str(compare(loop_factory, scenario).outcome)


def test_nested_task_groups(loop_factory: LoopFactory) -> None:
    async def nested() -> None:
        async with asyncio.TaskGroup() as inner:
            inner.create_task(fail("inner", steps=3))
            inner.create_task(forever())

    async def scenario() -> object:
        async def outer() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(nested())
                group.create_task(forever())
                async with asyncio.TaskGroup() as second:
                    second.create_task(forever())

        return await ending(outer())

    assert "inner" in str(compare(loop_factory, scenario).outcome)


def test_task_group_cancelled_from_outside(loop_factory: LoopFactory) -> None:
    async def group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(forever())
            try:
                await forever()
            finally:
                group.create_task(value(1))

    async def scenario() -> list[object]:
        task = asyncio.create_task(group(), name="group")
        await asyncio.sleep(0)
        task.cancel("from outside")
        return [await ending(task), task.cancelling(), repr(task)]

    compare(loop_factory, scenario)


def test_timeout(loop_factory: LoopFactory) -> None:
    async def late() -> None:
        async with asyncio.timeout(0.001) as scope:
            assert not scope.expired()
            await forever()

    async def nested() -> None:
        async with asyncio.timeout(10), asyncio.timeout(0):
            await forever()

    async def spends_its_time() -> None:
        async with asyncio.timeout(0):
            for _ in range(3):
                await suspend()

    async def cancelled_meanwhile() -> None:
        async with asyncio.timeout(10):
            asyncio.current_task().cancel("both")  # type: ignore[union-attr]
            await forever()

    async def scenario() -> list[object]:
        endings = []
        for scene in (late, nested, spends_its_time, cancelled_meanwhile):
            task = asyncio.create_task(scene(), name=scene.__name__)
            endings += [await ending(task), task.cancelling(), task.cancelled()]
        return endings

    compare(loop_factory, scenario)


def test_wait_for_and_shield(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        protected = asyncio.create_task(value(7, steps=5), name="protected")
        waiter = asyncio.create_task(asyncio.wait_for(asyncio.shield(protected), 10), name="waiter")
        await asyncio.sleep(0)
        waiter.cancel("enough")
        endings = [await ending(waiter), await protected]
        endings.append(await ending(asyncio.wait_for(forever(), 0.001)))
        endings.append(await ending(asyncio.wait_for(forever(), 0)))
        endings.append(await ending(asyncio.wait_for(value(3), 10)))
        endings.append(await ending(asyncio.wait_for(fail("inside"), 10)))
        return endings

    compare(loop_factory, scenario)


def test_gather_wait_and_as_completed(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        endings: list[object] = [await asyncio.gather(*(value(number, steps=5 - number) for number in range(5)))]
        endings.append(await ending(asyncio.gather(value(1), fail("gathered"))))
        mixed = await asyncio.gather(value(1), fail("returned"), return_exceptions=True)
        endings.append([tell(item) if isinstance(item, BaseException) else item for item in mixed])
        endings.append([await first for first in asyncio.as_completed([value(1, steps=9), value(2)])])
        endings.append([await ending(first) for first in asyncio.as_completed([forever()], timeout=0.001)])
        tasks = [asyncio.create_task(coro) for coro in (fail("early"), forever())]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        endings += [sorted(map(repr, done)), sorted(map(repr, pending))]
        gathered = asyncio.gather(*tasks)
        gathered.cancel("all of them")
        endings.append(await ending(gathered))
        return endings

    compare(loop_factory, scenario)


def test_cancellation_is_counted_and_taken_back(loop_factory: LoopFactory) -> None:
    async def stubborn(log: list[object]) -> str:
        task = asyncio.current_task()
        assert task is not None
        for _ in range(2):
            try:
                await forever()
            except asyncio.CancelledError as error:
                log += [tell(error), task.cancelling(), task.uncancel()]
        return "not cancelled"

    async def scenario() -> list[object]:
        log: list[object] = []
        task = asyncio.create_task(stubborn(log), name="stubborn")
        await asyncio.sleep(0)
        log += [task.cancel("first"), task.cancel("second"), task.cancelling()]
        await asyncio.sleep(0)
        log += [task.cancel("third"), await task, task.cancel("too late"), task.cancelled(), repr(task)]
        return log

    compare(loop_factory, scenario)


def test_cancellation_before_the_first_step(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        task = asyncio.create_task(value(1), name="never started")
        task.cancel("at once")
        return [await ending(task), repr(task), task.cancelled()]

    compare(loop_factory, scenario)


def test_cancellation_while_running(loop_factory: LoopFactory) -> None:
    async def cancels_itself(steps: int) -> str:
        asyncio.current_task().cancel("myself")  # type: ignore[union-attr]
        for _ in range(steps):
            await suspend()
        return "got through"

    async def scenario() -> list[object]:
        return [await ending(asyncio.create_task(cancels_itself(steps), name="self")) for steps in range(3)]

    compare(loop_factory, scenario)


def test_a_cancelled_error_is_replaced(loop_factory: LoopFactory) -> None:
    async def replaces() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            raise ValueError("instead") from None

    async def returns() -> str:
        try:
            await forever()
        except asyncio.CancelledError:
            return "a value"
        return "never"

    async def scenario() -> list[object]:
        endings: list[object] = []
        for scene in (replaces, returns):
            task: asyncio.Task[Any] = asyncio.create_task(scene(), name=scene.__name__)
            await asyncio.sleep(0)
            task.cancel()
            endings += [await ending(task), repr(task)]
        return endings

    compare(loop_factory, scenario)


def test_locks_conditions_and_queues_keep_their_order(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        order: list[object] = []
        lock, condition, queue = asyncio.Lock(), asyncio.Condition(), asyncio.Queue[int](2)

        async def worker(number: int) -> None:
            async with lock:
                order.append(("lock", number))
                await asyncio.sleep(0)
            async with condition:
                order.append(("condition", number, await asyncio.wait_for(condition.wait(), 10)))
            await queue.put(number)

        async def consumer() -> None:
            order.extend([("queue", await queue.get()) for _ in range(4)])

        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(worker(number))
            group.create_task(consumer())
            while sum(item[0] == "lock" for item in order) < 4:  # type: ignore[index]
                await asyncio.sleep(0)
            for _ in range(4):
                await asyncio.sleep(0)
            async with condition:
                condition.notify_all()
        return order

    # Whoever notifies after so many turns depends on everybody's keeping step.
    assert len(str(compare(loop_factory, scenario, parked=False).outcome)) > 100


def test_callbacks_and_tasks_take_turns(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[str]:
        order: list[str] = []
        loop = asyncio.get_running_loop()

        async def stepper(name: str) -> None:
            for step in range(3):
                order.append(f"{name}{step}")
                loop.call_soon(order.append, f"after {name}{step}")
                await (suspend() if step else asyncio.sleep(0))

        await asyncio.gather(stepper("a"), stepper("b"))
        await asyncio.to_thread(order.append, "thread")
        return order

    compare(loop_factory, scenario, parked=False)
