"""Groups and options of tasks and of calls: who is counted where, and what is in force."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import TaskPriority, current, governed, spawn
from tests.support.comparison import compare, ending, suspend
from tests.support.groups import groups
from tests.support.loops import LoopFactory, Run


def counts(name: str) -> tuple[int, int]:
    """Give tasks and polls of a group."""
    return groups()[name].tasks, groups()[name].polls


async def own_group(steps: int = 1) -> str:
    for _ in range(steps):
        await asyncio.sleep(0)
    return current().group


async def burn(cpu_seconds: float) -> None:
    end = time.thread_time() + cpu_seconds
    while time.thread_time() < end:
        pass


async def with_child(create: Callable[[Coroutine[Any, Any, str]], Awaitable[str]]) -> list[str]:
    before = await own_group()
    child = await create(own_group())
    return [before, child, await own_group()]


@governed(group="options", priority=TaskPriority.HIGH, budget_us=777)
async def decorated(steps: int = 2) -> tuple[str, TaskPriority, int]:
    for _ in range(steps):
        await asyncio.sleep(0)
    view = current()
    return view.group, view.priority, view.budget.cpu_us


def test_a_task_of_a_decorated_function_has_its_options_and_counts_once(run: Run) -> None:
    async def main() -> None:
        assert await asyncio.create_task(decorated()) == ("options", TaskPriority.HIGH, 777)
        assert counts("options") == (1, 3)
        # Not in the group of its function too, nor twice in the same one.
        assert sum(group.tasks for group in groups().values()) == pulse.get_manager().get_metrics().tasks == 2

    run(main)


@pytest.mark.timing  # a poll that the machine holds up is preempted, and then there is one more
@pytest.mark.parametrize("preemptible", [False, True])
def test_each_poll_of_a_decorated_task_counts_once(run: Run, preemptible: bool) -> None:
    # Of a preemptible one the call is preempted in the place of the task, and both are of one group.
    @governed(group="once", preemptible=preemptible)
    async def once() -> None:
        for _ in range(9):
            await asyncio.sleep(0)

    async def main() -> None:
        tasks = [asyncio.create_task(once()), spawn(once()), spawn(once(), group="other")]
        await asyncio.gather(*tasks)
        assert (counts("once"), counts("other")) == ((2, 20), (1, 10))
        before = pulse.get_manager().get_metrics().polls
        await once()
        # Of a call its group counts the polls, the worker only those of the task around it.
        assert counts("once") == (3, 30)
        assert pulse.get_manager().get_metrics().polls - before == 9

    run(main)


def test_spawn_overrides_the_decorator(run: Run) -> None:
    async def main() -> None:
        assert await spawn(decorated(), priority=TaskPriority.LOW) == ("options", TaskPriority.LOW, 777)
        assert await spawn(decorated(), group="mine", budget_us=888) == ("mine", TaskPriority.HIGH, 888)
        assert counts("mine") == (1, 3)

    run(main)


def test_a_decorated_function_awaited_inside_a_task(run: Run) -> None:
    async def main() -> None:
        before = current()
        group, polls = before.group, groups().get("options")
        assert polls is None
        assert await decorated(steps=4) == ("options", TaskPriority.HIGH, 777)
        after = current()
        assert (after.group, after.priority, after.budget.cpu_us) == (group, TaskPriority.NORMAL, 2000)
        # Five parts of this task's steps: they are the group's polls, and no further steps of the worker.
        assert counts("options") == (1, 5)
        metrics = pulse.get_manager().get_metrics()
        assert (metrics.tasks, metrics.polls) == (1, 4)

    run(main)


def test_children_of_a_decorated_call_inherit_its_group_until_it_ends(run: Run) -> None:
    @governed(group="call")
    async def call() -> list[str]:
        return await with_child(asyncio.create_task)

    async def main() -> None:
        assert await call() == ["call"] * 3
        assert await asyncio.create_task(own_group()) == "own_group"

    run(main)


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, GeneratorExit, StopAsyncIteration])
def test_a_decorated_call_that_fails_leaves_nothing_behind(run: Run, error: type[BaseException]) -> None:
    @governed(group="call", priority=TaskPriority.CRITICAL)
    async def call() -> None:
        await asyncio.sleep(0)
        raise error("inside")

    async def main() -> None:
        with pytest.raises(error, match="inside"):
            await call()
        assert current().priority is TaskPriority.NORMAL
        assert await asyncio.create_task(own_group()) == "own_group"
        assert groups()["call"].tasks_alive == 0

    run(main)


def test_nested_calls(run: Run) -> None:
    def view() -> tuple[str, TaskPriority]:
        return current().group, current().priority

    @governed(group="inner", priority=TaskPriority.LOW)
    async def inner() -> list[tuple[str, TaskPriority]]:
        await suspend()
        return [view()]

    @governed(group="middle")
    async def middle() -> list[tuple[str, TaskPriority]]:
        return [view(), *await inner(), view()]

    @governed(group="outer", priority=TaskPriority.HIGH)
    async def outer() -> list[tuple[str, TaskPriority]]:
        return [view(), *await middle(), *await inner(), view()]

    async def main() -> None:
        high, low = TaskPriority.HIGH, TaskPriority.LOW
        expected = [
            ("outer", high),
            ("middle", high),
            ("inner", low),
            ("middle", high),
            ("inner", low),
            ("outer", high),
        ]
        assert await outer() == expected
        assert await asyncio.create_task(outer()) == expected
        assert [groups()[name].tasks for name in ("outer", "middle", "inner")] == [2, 2, 4]

    run(main)


@pytest.mark.timing
def test_the_time_of_a_call_is_its_groups_and_not_its_callers(run: Run) -> None:
    @governed(group="call")
    async def call() -> None:
        await burn(0.02)

    async def caller() -> None:
        await burn(0.0005)
        await call()

    async def main() -> None:
        await spawn(caller(), group="caller")
        found = groups()
        assert found["call"].cpu_time_ns > 4 * found["caller"].cpu_time_ns
        assert (found["call"].violations, found["caller"].violations) == (1, 0)
        total = pulse.get_manager().get_metrics().wall_time_ns
        assert found["call"].wall_time_ns + found["caller"].wall_time_ns <= total

    run(main)


def test_a_decorated_function_is_what_it_was(loop_factory: LoopFactory) -> None:
    async def function(first: int, second: str = "default") -> tuple[int, str]:
        """Do something."""
        await suspend()
        return first, second

    wrapped = governed(function)
    assert inspect.iscoroutinefunction(wrapped)
    assert inspect.signature(wrapped) == inspect.signature(function)
    assert (wrapped.__name__, wrapped.__doc__) == ("function", "Do something.")
    assert wrapped.__wrapped__ is function  # type: ignore[attr-defined]

    async def scenario() -> list[object]:
        endings: list[object] = []
        for coro in (wrapped(1), wrapped(1, second="given")):
            assert inspect.iscoroutine(coro)
            endings.append(await coro)
        endings.append(await asyncio.create_task(wrapped(3)))
        with pytest.raises(TypeError) as refused:
            await wrapped()  # type: ignore[call-arg]
        return [*endings, str(refused.value)]

    compare(loop_factory, scenario)


@pytest.mark.parametrize("options", [{}, {"preemptible": True}])
def test_decorated_functions_nest_as_deep_as_plain_ones(options: dict[str, Any], run: Run) -> None:
    async def plain(level: int) -> int:
        try:
            return await plain(level + 1)
        except RecursionError:
            return level

    @governed(**options)
    async def decorated(level: int) -> int:
        try:
            return await decorated(level + 1)
        except RecursionError:
            return level

    async def main() -> None:
        levels.extend([await plain(0), await decorated(0)])

    levels: list[int] = []
    run(main)
    deepest, of_decorated = levels
    assert 0.95 * deepest < of_decorated < 1.05 * deepest


def test_methods_and_partials(run: Run) -> None:
    class Service:
        @governed(group="method")
        async def method(self, value: int) -> tuple[str, int]:
            return current().group, value

    async def main() -> None:
        assert await Service().method(1) == ("method", 1)
        assert await functools.partial(Service().method, 2)() == ("method", 2)

    run(main)


@pytest.mark.parametrize("wrong", [42, len, lambda: None, int])
def test_only_an_async_function_is_decorated(wrong: Any) -> None:
    with pytest.raises(TypeError, match="governed\\(\\) decorates async def functions, got"):
        governed(wrong)
    with pytest.raises(TypeError, match="unexpected keyword argument 'grup'"):
        governed(grup="typo")  # type: ignore[call-overload]


def test_cancelled_and_closed_calls(loop_factory: LoopFactory) -> None:
    def wrap(function: Any, governs: bool) -> Any:
        return governed(group="call")(function) if governs else function

    async def waits(log: list[object]) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            log.append("left")

    async def scene(call: Any) -> list[object]:
        log: list[object] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.001):
                await call(log)
        task = asyncio.create_task(call(log))
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        coro = call(log)
        coro.send(None)
        coro.close()
        log.append(str(await ending(coro)).splitlines()[-1])
        return log

    async def scenario() -> list[list[object]]:
        return [await scene(wrap(waits, governs)) for governs in (False, True)]

    outcome = compare(loop_factory, scenario).outcome
    assert isinstance(outcome, list)
    assert outcome[0] == outcome[1]


@pytest.mark.parametrize("inner_is_governed", [True, False])
def test_a_loop_that_runs_inside_a_poll_of_another(inner_is_governed: bool) -> None:
    config = pulse.TierConfig(poll_budget_us=10_000)

    async def inside() -> tuple[int, list[str] | None]:
        await asyncio.gather(burn(0.02), asyncio.sleep(0), asyncio.sleep(0))
        return (pulse.get_manager().worker_id, [current().group]) if inner_is_governed else (-1, None)

    async def main() -> None:
        manager, before = pulse.get_manager(), current()
        inner_loop = asyncio.new_event_loop()
        if inner_is_governed:
            pulse.install(config, loop=inner_loop)
        outer_loop, task = asyncio.get_running_loop(), asyncio.current_task()
        await asyncio.sleep(0)
        polls = manager.get_metrics().polls
        # A loop of asyncio refuses to run inside another: it must not see that there is one.
        asyncio.tasks._leave_task(outer_loop, task)
        asyncio._set_running_loop(None)
        try:
            worker, seen = inner_loop.run_until_complete(inside())
        finally:
            asyncio._set_running_loop(outer_loop)
            asyncio.tasks._enter_task(outer_loop, task)
        assert asyncio.current_task() is task
        assert current()._governed is before._governed
        assert manager.get_metrics().polls == polls
        if inner_is_governed:
            inner = pulse.get_manager(loop=inner_loop)
            assert worker == inner.worker_id != manager.worker_id
            assert seen == [inside.__qualname__]
            assert inner.get_metrics().polls == 2 + 1 + 2 * 2
            await asyncio.sleep(0)
            assert inner.get_metrics().cpu_time_ns > manager.get_metrics().cpu_time_ns
            assert (inner.get_metrics().violations, manager.get_metrics().violations) == (1, 0)
            pulse.uninstall(loop=inner_loop)
        else:
            await asyncio.sleep(0)
            assert manager.get_metrics().violations == 1
        inner_loop.close()

    pulse.run(main(), config=config)
