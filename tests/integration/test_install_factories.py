"""Other task factories, earlier and later ones: they make the tasks, ours has them measured, each stays in place."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable
from typing import Any

import pytest

import asyncio_pulse as pulse
from tests.support.comparison import compare, ending, observe
from tests.support.loops import Loop, LoopFactory

STEPS = 5


async def work(steps: int = STEPS) -> str:
    for _ in range(steps):
        await asyncio.sleep(0)
    return "done"


async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("as told")


class RecordingFactory:
    """A task factory as people write them, which remembers what it was given."""

    def __init__(self, earlier: Callable[..., Any] | None = None) -> None:
        self.earlier = earlier
        self.calls: list[tuple[str, list[str]]] = []

    def __call__(self, loop: Loop, coro: Any, **keywords: Any) -> asyncio.Task[Any]:
        self.calls.append((coro.__qualname__, sorted(keywords)))
        if self.earlier is not None:
            task: asyncio.Task[Any] = self.earlier(loop, coro, **keywords)
            return task
        return asyncio.Task(coro, loop=loop, **keywords)


def work_is_counted_in_full(manager: pulse.TierManager, tasks: int = 1) -> bool:
    groups = {group.name: (group.tasks, group.polls) for group in manager.groups()}
    return groups.get("work") == (tasks, tasks * (STEPS + 1))


def test_an_earlier_factory_is_given_what_it_is_given_without_us(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        await asyncio.gather(
            asyncio.create_task(work(), name="named"),
            asyncio.create_task(work(), context=context),
            loop.create_task(work(), name="both", context=context),
            asyncio.ensure_future(work()),
        )
        if sys.version_info >= (3, 14):
            await asyncio.create_task(work(), eager_start=True, name="eager")
        async with asyncio.TaskGroup() as group:
            group.create_task(work(), name="in a group")
        return factories[-1].calls

    factories: list[RecordingFactory] = []

    def prepare(loop: Loop) -> None:
        factories.append(RecordingFactory())
        loop.set_task_factory(factories[-1])

    compare(loop_factory, scenario, prepare=prepare, parked=False)
    assert factories[0].calls == factories[1].calls


def test_an_earlier_factory_that_takes_no_keywords(loop_factory: LoopFactory) -> None:
    def factory(loop: Loop, coro: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=loop)

    async def create(**keywords: Any) -> str:
        coro = work()
        try:
            return await asyncio.create_task(coro, **keywords)
        finally:
            coro.close()

    async def scenario() -> list[str]:
        return [str(await ending(create(**keywords))).splitlines()[-1] for keywords in ({}, {"name": "named"})]

    # Python calls it at another line than ours does, and before 3.14 asyncio.run itself gives it a keyword.
    def prepare(loop: Loop) -> None:
        loop.call_soon(loop.set_task_factory, factory)

    compare(loop_factory, scenario, prepare=prepare, parked=False)


def test_an_earlier_factory_that_fails(loop_factory: LoopFactory) -> None:
    def factory(loop: Loop, coro: Any, **keywords: Any) -> asyncio.Task[Any]:
        if keywords.get("name") == "refused" or coro.__qualname__ == "fail":
            raise LookupError("no more tasks")
        return asyncio.Task(coro, loop=loop, **keywords)

    async def scenario() -> str:
        with pytest.raises(LookupError) as refused:
            asyncio.create_task(fail())
        return str(refused.value)

    observation = compare(loop_factory, scenario, prepare=lambda loop: loop.set_task_factory(factory))
    assert "coroutine 'fail' was never awaited" in str(observation.complaints)


def test_the_earlier_factory_comes_back(any_loop: Loop) -> None:
    factory = RecordingFactory()
    any_loop.set_task_factory(factory)
    manager = pulse.install(loop=any_loop)
    assert any_loop.get_task_factory() is not factory
    any_loop.run_until_complete(work())
    assert work_is_counted_in_full(manager)
    pulse.uninstall(loop=any_loop)
    assert any_loop.get_task_factory() is factory
    any_loop.run_until_complete(work())
    assert [name for name, _ in factory.calls] == ["work", "work"]
    assert work_is_counted_in_full(manager)


def test_a_later_factory_that_calls_ours(any_loop: Loop) -> None:
    manager = pulse.install(loop=any_loop)
    later = RecordingFactory(any_loop.get_task_factory())
    any_loop.set_task_factory(later)
    any_loop.run_until_complete(work())
    assert work_is_counted_in_full(manager)
    pulse.uninstall(loop=any_loop)
    assert any_loop.get_task_factory() is later
    assert any_loop.run_until_complete(work()) == "done"
    assert work_is_counted_in_full(manager)
    assert len(later.calls) == 2
    later.earlier = None


def test_a_later_factory_that_does_not(any_loop: Loop) -> None:
    manager = pulse.install(loop=any_loop)
    later = RecordingFactory()
    any_loop.set_task_factory(later)
    assert any_loop.run_until_complete(work()) == "done"
    assert manager.get_metrics().tasks == 0
    assert pulse.install(loop=any_loop) is manager
    assert any_loop.get_task_factory() is later
    pulse.uninstall(loop=any_loop)
    assert any_loop.get_task_factory() is later


def test_governed_again_over_a_later_factory_that_calls_the_old_one(any_loop: Loop) -> None:
    first = pulse.install(loop=any_loop)
    later = RecordingFactory(any_loop.get_task_factory())
    any_loop.set_task_factory(later)
    pulse.uninstall(loop=any_loop)
    second = pulse.install(loop=any_loop)
    assert any_loop.run_until_complete(work()) == "done"
    assert work_is_counted_in_full(second)
    assert first.get_metrics().tasks == 0
    pulse.uninstall(loop=any_loop)
    assert any_loop.get_task_factory() is later
    later.earlier = None


def test_the_subclass_of_task_that_an_earlier_factory_makes(loop_factory: LoopFactory) -> None:
    class OwnTask(asyncio.Task[Any]):
        pass

    async def scenario() -> list[object]:
        task = asyncio.create_task(work(), name="own")
        return [type(task) is OwnTask, repr(task), await task]

    def prepare(loop: Loop) -> None:
        loop.set_task_factory(lambda loop, coro, **keywords: OwnTask(coro, loop=loop, **keywords))

    assert compare(loop_factory, scenario, prepare=prepare, parked=False).outcome[0] is True  # type: ignore[index]


def test_tasks_made_past_the_factory_are_not_governed(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        task = asyncio.Task(work())
        await task
        return [type(task.get_coro()).__name__, pulse.get_manager().get_metrics().tasks]

    assert observe(loop_factory, scenario, way="governed").outcome == ["coroutine", 1]
