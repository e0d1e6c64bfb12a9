"""A loop whose tasks start eagerly, and a task that is asked to, behave governed as they do plain.

Those of offenders do not start at once but wait in the slow queue first, as test_slow_queue_semantics shows.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from contextvars import ContextVar
from typing import Any

import pytest

import asyncio_pulse as pulse
from tests.support.comparison import compare, ending, observe, suspend
from tests.support.loops import Loop, LoopFactory

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")

variable: ContextVar[str] = ContextVar("variable", default="default")


def start_eagerly(loop: Loop) -> None:
    loop.set_task_factory(asyncio.eager_task_factory)


@pytest.fixture
def loop_with_eager_tasks(loop_factory: LoopFactory) -> LoopFactory:
    """Make loops that can have an eager factory, which uvloop's cannot since Python 3.13: it says eager_start=None."""

    async def starts_eagerly() -> bool:
        return asyncio.get_running_loop().create_task(at_once([], "probe")).done()

    async def main() -> bool:
        start_eagerly(asyncio.get_running_loop())
        try:
            return await starts_eagerly()
        except TypeError:
            return False
        finally:
            asyncio.get_running_loop().set_task_factory(None)

    with warnings.catch_warnings(), asyncio.Runner(loop_factory=loop_factory) as runner:
        # Where the factory refuses the keyword, the coroutine is never awaited.
        warnings.simplefilter("ignore", RuntimeWarning)
        if not runner.run(main()):
            pytest.skip("an eager factory does not make eager tasks on this loop")
    return loop_factory


async def at_once(log: list[object], name: str) -> str:
    task = asyncio.current_task()
    log.append((name, variable.get(), repr(task), len(asyncio.all_tasks())))
    variable.set(name)
    return name


async def later(log: list[object], name: str) -> str:
    await at_once(log, name)
    await asyncio.sleep(0)
    log.append((name, variable.get(), repr(asyncio.current_task())))
    return name


async def fails(log: list[object], steps: int) -> None:
    for _ in range(steps):
        await suspend()
    log.append("about to fail")
    raise ValueError("as told", steps)


def test_eager_tasks_complete_at_once_or_go_on(loop_with_eager_tasks: LoopFactory) -> None:
    async def scenario() -> list[object]:
        log: list[object] = []
        variable.set("main's")
        done, pending = asyncio.create_task(at_once(log, "done")), asyncio.create_task(later(log, "pending"))
        log += [done.done(), repr(done), done.result(), pending.done(), repr(pending), variable.get()]
        log += [done in asyncio.all_tasks(), pending in asyncio.all_tasks(), await pending, repr(pending)]
        return log

    outcome = compare(loop_with_eager_tasks, scenario, prepare=start_eagerly, parked=False).outcome
    assert isinstance(outcome, list)
    assert outcome[2] is True
    assert outcome[5] is False


@pytest.mark.parametrize("steps", [0, 1])
def test_eager_errors(loop_with_eager_tasks: LoopFactory, steps: int) -> None:
    async def scenario() -> list[object]:
        log: list[object] = []
        task = asyncio.create_task(fails(log, steps), name="fails")
        log += [task.done(), repr(task), await ending(task), repr(task)]
        asyncio.create_task(fails(log, 0), name="nobody asks")
        return log

    observation = compare(loop_with_eager_tasks, scenario, prepare=start_eagerly, parked=False)
    assert "never retrieved" in str(observation.complaints)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_eager_task_ends_the_program(loop_with_eager_tasks: LoopFactory, error: type[BaseException]) -> None:
    async def stop() -> None:
        raise error("eagerly")

    async def scenario() -> None:
        asyncio.create_task(stop())

    assert "eagerly" in str(compare(loop_with_eager_tasks, scenario, prepare=start_eagerly, parked=False).outcome)


def test_eager_tasks_start_one_inside_another(loop_with_eager_tasks: LoopFactory) -> None:
    async def nests(log: list[object], depth: int) -> int:
        me = asyncio.current_task()
        log.append(("in", depth, repr(me)))
        if depth:
            child = asyncio.create_task(nests(log, depth - 1))
            log.append(("back", depth, asyncio.current_task() is me, child.done()))
            await child
        await suspend()
        return depth

    async def scenario() -> list[object]:
        log: list[object] = []
        return [await asyncio.create_task(nests(log, 4)), log, await asyncio.gather(*(nests(log, n) for n in range(3)))]

    compare(loop_with_eager_tasks, scenario, prepare=start_eagerly, parked=False)


def test_an_eager_task_is_cancelled(loop_with_eager_tasks: LoopFactory) -> None:
    async def waits(log: list[object]) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            log.append("left")

    async def scenario() -> list[object]:
        log: list[object] = []
        task = asyncio.create_task(waits(log), name="waits")
        task.cancel("enough")
        log += [await ending(task), task.cancelled()]
        async with asyncio.timeout(0.001):
            log.append(await ending(asyncio.create_task(waits(log), name="second")))
        return log

    compare(loop_with_eager_tasks, scenario, prepare=start_eagerly, parked=False)


def test_structured_concurrency_over_eager_tasks(loop_with_eager_tasks: LoopFactory) -> None:
    async def scenario() -> list[object]:
        log: list[object] = []

        async def group() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(at_once(log, "one"))
                group.create_task(later(log, "two"))
                group.create_task(fails(log, 1))

        log.append(await ending(group()))
        log.append(await asyncio.wait_for(at_once(log, "in time"), 10))
        log.append(await asyncio.shield(later(log, "shielded")))
        return log

    compare(loop_with_eager_tasks, scenario, prepare=start_eagerly, parked=False)


def test_a_custom_eager_factory(loop_with_eager_tasks: LoopFactory) -> None:
    class OwnTask(asyncio.Task[Any]):
        pass

    def prepare(loop: Loop) -> None:
        loop.set_task_factory(asyncio.create_eager_task_factory(OwnTask))

    async def scenario() -> list[object]:
        task = asyncio.create_task(at_once([], "own"))
        return [type(task) is OwnTask, task.done(), await task]

    assert compare(loop_with_eager_tasks, scenario, prepare=prepare, parked=False).outcome == [True, True, "own"]


def test_polls_of_eager_tasks_are_counted(loop_with_eager_tasks: LoopFactory) -> None:
    async def scenario() -> dict[str, int]:
        asyncio.create_task(at_once([], "done"))
        await asyncio.create_task(later([], "pending"))
        groups = pulse.get_manager().groups()
        return {group.name: group.polls for group in groups if group.name in ("at_once", "later")}

    observation = observe(loop_with_eager_tasks, scenario, way="governed", prepare=start_eagerly)
    assert observation.outcome == {"at_once": 1, "later": 2}


@pytest.mark.skipif(sys.version_info < (3, 14), reason="create_task takes eager_start since Python 3.14")
def test_the_eager_start_keyword(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        log: list[object] = []
        tasks = [
            asyncio.create_task(at_once(log, "eager"), eager_start=True),
            asyncio.create_task(at_once(log, "lazy"), eager_start=False),
            asyncio.create_task(later(log, "named"), eager_start=True, name="a name"),
            asyncio.create_task(later(log, "neither"), eager_start=None),
        ]
        async with asyncio.TaskGroup() as group:
            tasks.append(group.create_task(at_once(log, "in a group"), eager_start=True))
        log += [task.done() for task in tasks]
        log += [await ending(task) for task in tasks]
        return log + [task.get_name() for task in tasks]

    outcome = compare(loop_factory, scenario, parked=False).outcome
    assert "eager" in str(outcome)
