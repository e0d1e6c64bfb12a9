"""Context variables reach governed tasks, and stay apart between them, as between plain ones."""

from __future__ import annotations

import asyncio
import contextvars
from contextvars import Context, ContextVar
from typing import Any

from tests.support.comparison import compare, suspend
from tests.support.loops import LoopFactory

variable: ContextVar[str] = ContextVar("variable", default="default")


async def read_and_set(value: str) -> list[str]:
    seen = [variable.get()]
    variable.set(value)
    await suspend()
    seen.append(variable.get())
    asyncio.get_running_loop().call_soon(lambda: seen.append("callback " + variable.get()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return seen


def names(context: Context) -> list[str]:
    """Name what is set: nothing of pulse's, unless a group was asked for."""
    return sorted(f"{entry.name}={value}" for entry, value in context.items())


def test_a_child_inherits_and_does_not_give_back(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        variable.set("main's")
        first = asyncio.create_task(read_and_set("first's"))
        variable.set("changed since")
        second = asyncio.create_task(read_and_set("second's"))
        async with asyncio.TaskGroup() as group:
            third = group.create_task(read_and_set("third's"))
        return [await first, await second, third.result(), variable.get()]

    outcome = compare(loop_factory, scenario).outcome
    assert outcome == [
        ["main's", "first's", "callback first's"],
        ["changed since", "second's", "callback second's"],
        ["changed since", "third's", "callback third's"],
        "changed since",
    ]


def test_the_context_keyword(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        context = contextvars.copy_context()
        context.run(variable.set, "prepared")
        loop = asyncio.get_running_loop()
        seen: list[object] = [await asyncio.create_task(read_and_set("a"), context=context), context[variable]]
        seen += [await loop.create_task(read_and_set("b"), context=context), context[variable], variable.get()]
        async with asyncio.TaskGroup() as group:
            task = group.create_task(read_and_set("c"), context=context, name="in context")
        seen += [
            task.result(),
            context[variable],
            task.get_context() is context if hasattr(task, "get_context") else "",
        ]
        return seen

    outcome = compare(loop_factory, scenario).outcome
    assert isinstance(outcome, list)
    assert outcome[:4] == [["prepared", "a", "callback a"], "a", ["a", "b", "callback b"], "b"]


def test_an_empty_context(loop_factory: LoopFactory) -> None:
    async def look() -> list[str]:
        await suspend()
        return names(contextvars.copy_context())

    async def scenario() -> list[object]:
        variable.set("main's")
        context = Context()
        return [await asyncio.create_task(look(), context=context), names(context), await asyncio.create_task(look())]

    outcome = compare(loop_factory, scenario, parked=False).outcome
    assert isinstance(outcome, list)
    assert outcome[0] == []
    assert "variable=main's" in outcome[2]


def test_tokens_are_reset_in_their_own_context(loop_factory: LoopFactory) -> None:
    async def sets_and_resets() -> list[str]:
        token = variable.set("for a while")
        await suspend()
        seen = [variable.get()]
        variable.reset(token)
        await asyncio.sleep(0)
        return [*seen, variable.get()]

    async def scenario() -> list[object]:
        variable.set("main's")
        return await asyncio.gather(*(sets_and_resets() for _ in range(3)))

    assert compare(loop_factory, scenario).outcome == [["for a while", "main's"]] * 3


def test_callbacks_threads_and_handles_run_in_the_tasks_context(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        variable.set("main's")
        loop, seen = asyncio.get_running_loop(), list[Any]()
        future = loop.create_future()
        future.add_done_callback(lambda _: seen.append(variable.get()))
        loop.call_later(0, lambda: seen.append(variable.get()))
        variable.set("later")
        future.set_result(None)
        seen.append(await asyncio.to_thread(variable.get))
        await asyncio.sleep(0.001)
        return sorted(seen)

    assert compare(loop_factory, scenario).outcome == ["later", "main's", "main's"]
