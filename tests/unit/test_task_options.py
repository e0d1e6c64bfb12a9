"""Options of tasks: what is refused, what is in force, what changes; and the view of the running task."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import TaskPriority, current, spawn
from asyncio_pulse.lowlevel import GovernedCoroutine, TaskBudget
from asyncio_pulse.policy.group_names import MAX_GROUP_NAME_LENGTH

WRONG_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"priority": 4}, "priority"),
    ({"priority": -1}, "priority"),
    ({"priority": "highest"}, "priority must be one of critical, high, normal, low, got 'highest'"),
    ({"max_tier": "hold"}, "max_tier must be one of monitor, warn, yield, isolate, got 'hold'"),
    ({"priority": True}, "priority"),
    ({"priority": 1.0}, "priority"),
    ({"budget_us": 49}, "budget_us"),
    ({"budget_us": 10_000_001}, "budget_us"),
    ({"budget_us": "fast"}, "budget_us"),
    ({"budget_us": 2**70}, "budget_us"),
    ({"max_tier": 4}, "max_tier"),
    ({"max_tier": -1}, "max_tier"),
    ({"group": ""}, "group"),
    ({"group": "x" * (MAX_GROUP_NAME_LENGTH + 1)}, "group"),
    ({"group": 42}, "group"),
    ({"group": b"bytes"}, "group"),
]
each_wrong_option = pytest.mark.parametrize(("options", "name"), WRONG_OPTIONS, ids=str)


async def nothing() -> None:
    await asyncio.sleep(0)


async def look() -> tuple[str, TaskPriority, TaskBudget]:
    view = current()
    return view.group, view.priority, view.budget


def run(main: Callable[[], Coroutine[Any, Any, Any]], config: pulse.TierConfig | None = None) -> Any:
    try:
        return pulse.run(main(), config=config)
    finally:
        # The errors that were expected hold frames, those the loop, and the loop the thread that samples it.
        gc.collect()


@pytest.mark.parametrize("max_tier", [pulse.InterventionAction.WARN, "warn", "Warn", 1], ids=repr)
def test_a_tier_is_given_as_an_action_or_by_its_name(max_tier: Any) -> None:
    async def main() -> int | None:
        coro = spawn(nothing(), max_tier=max_tier).get_coro()
        assert isinstance(coro, GovernedCoroutine)
        assert coro.options is not None
        return coro.options.max_tier

    assert pulse.run(main()) == 1


@each_wrong_option
def test_spawn_refuses_wrong_options_and_starts_nothing(options: dict[str, Any], name: str) -> None:
    async def main() -> None:
        coro = nothing()
        with pytest.raises(pulse.ConfigError, match=name) as refused:
            spawn(coro, **options)
        assert isinstance(refused.value, ValueError)
        assert len(str(refused.value)) < 200
        assert inspect.getcoroutinestate(coro) == inspect.CORO_CREATED
        coro.close()
        assert len(asyncio.all_tasks()) == 1

    run(main)


@each_wrong_option
def test_the_decorator_refuses_wrong_options_at_once(options: dict[str, Any], name: str) -> None:
    with pytest.raises(pulse.ConfigError, match=name):
        pulse.governed(**options)


@each_wrong_option
def test_update_refuses_wrong_options_and_changes_nothing(options: dict[str, Any], name: str) -> None:
    async def main() -> None:
        before = await look()
        with pytest.raises(pulse.ConfigError, match=name):
            current().update(**options)
        assert await look() == before

    run(main)


@pytest.mark.parametrize(
    ("priority", "budget"),
    [
        (TaskPriority.CRITICAL, TaskBudget(8000, 512)),
        (TaskPriority.HIGH, TaskBudget(4000, 256)),
        (TaskPriority.NORMAL, TaskBudget(2000, 128)),
        (TaskPriority.LOW, TaskBudget(1000, 64)),
    ],
)
def test_a_priority_multiplies_the_budget(priority: TaskPriority, budget: TaskBudget) -> None:
    async def main() -> None:
        assert await spawn(look(), priority=priority) == ("look", priority, budget)
        assert await spawn(look(), priority=int(priority)) == ("look", priority, budget)  # type: ignore[arg-type]

    run(main)


def test_the_configuration_is_multiplied_too() -> None:
    async def main() -> None:
        assert (await spawn(look(), priority=TaskPriority.CRITICAL))[2] == TaskBudget(1200, 40)
        assert (await spawn(look()))[2] == TaskBudget(300, 10)
        manager = pulse.get_manager()
        manager.update_config(pulse.TierConfig(poll_budget_us=600, operation_budget=20))
        assert current().budget == TaskBudget(600, 20)

    run(main, pulse.TierConfig(poll_budget_us=300, operation_budget=10))


def test_a_budget_of_its_own_is_not_multiplied() -> None:
    async def main() -> None:
        assert (await spawn(look(), priority=TaskPriority.CRITICAL, budget_us=333))[2] == TaskBudget(333, 512)
        for exact in (50, 999, 10_000_000):
            assert (await spawn(look(), budget_us=exact))[2].cpu_us == exact

    run(main)


def test_update_changes_what_is_named_and_nothing_else() -> None:
    async def main() -> None:
        current().update(priority=TaskPriority.LOW)
        group, priority, budget = await look()
        assert (priority, budget) == (TaskPriority.LOW, TaskBudget(1000, 64))
        current().update(budget_us=500)
        assert await look() == (group, TaskPriority.LOW, TaskBudget(500, 64))
        current().update(group="another")
        assert await look() == ("another", TaskPriority.LOW, TaskBudget(500, 64))
        assert await asyncio.create_task(look()) == ("another", TaskPriority.NORMAL, TaskBudget(2000, 128))
        current().update()
        assert await look() == ("another", TaskPriority.LOW, TaskBudget(500, 64))

    run(main)


def test_a_task_that_changes_its_group_is_alive_in_one_of_them() -> None:
    async def main() -> None:
        alive = {}
        for name in ("first", "second", "second"):
            current().update(group=name)
            await asyncio.sleep(0)
            groups = {group.name: group for group in pulse.get_manager().groups()}
            alive = {name: group.tasks_alive for name, group in groups.items() if group.tasks_alive}
            assert alive == {name: 1}
        assert {name: groups[name].tasks for name in ("first", "second")} == {"first": 1, "second": 1}
        assert {name: groups[name].polls for name in ("first", "second")} == {"first": 1, "second": 2}

    run(main)


def test_a_view_from_outside() -> None:
    views: list[pulse.TaskView] = []

    async def shows_itself() -> None:
        views.append(current())
        await asyncio.sleep(0)

    async def main() -> None:
        task = spawn(shows_itself(), group="shown", priority=TaskPriority.HIGH)
        await asyncio.sleep(0)
        view = views[0]
        assert repr(view) == "<TaskView group='shown' priority=HIGH>"
        assert (view.tier, view.metrics.polls) == (0, 1)
        view.update(priority=TaskPriority.LOW)
        assert view.priority is TaskPriority.LOW
        await task
        assert (view.metrics.polls, view.metrics.violations, view.metrics.forced_yields) == (2, 0, 0)
        assert view.metrics.wall_time_ns > 0

    run(main)


def test_outside_governed_tasks_there_is_a_view_of_nothing() -> None:
    seen: list[str] = []

    def asks() -> None:
        view = current()
        view.update(group="jobs", priority=TaskPriority.LOW, budget_us=1000)
        assert (view.priority, view.group, view.tier) == (TaskPriority.NORMAL, "", 0)
        assert (view.budget, view.operations_left) == (TaskBudget(), TaskBudget().operations)
        assert set(dataclasses.asdict(view.metrics).values()) == {0}
        assert repr(view) == "<TaskView group='' priority=NORMAL>"
        with pytest.raises(pulse.ConfigError):
            view.update(budget_us=1)
        seen.append("nothing")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(asks)
        await asyncio.to_thread(asks)
        await asyncio.Task(ungoverned(), loop=loop)

    async def ungoverned() -> None:
        asks()

    asks()
    run(main)
    assert seen == ["nothing"] * 4


def test_names_and_contexts_go_through_spawn() -> None:
    async def main() -> None:
        task = spawn(nothing(), name="given", group="some")
        assert (task.get_name(), type(task).__name__) == ("given", "Task")
        await task
        assert spawn(nothing()).get_name().startswith("Task-")
        await asyncio.sleep(0)

    run(main)


def test_a_group_name_of_a_subclass_of_str_is_taken_as_text() -> None:
    class Name(str):
        __slots__ = ()

        def __hash__(self) -> int:
            raise AssertionError("code of a subclass was run")

        __eq__ = str.__eq__

    async def main() -> None:
        assert (await spawn(look(), group=Name("text")))[0] == "text"

    run(main)
