"""Explicit groups are inherited through the context by whatever a task starts; implicit ones are not."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from asyncio_pulse import current, spawn
from tests.support.groups import groups
from tests.support.loops import Run


async def own_group(steps: int = 1) -> str:
    for _ in range(steps):
        await asyncio.sleep(0)
    return current().group


async def with_child(create: Callable[[Coroutine[Any, Any, str]], Awaitable[str]]) -> list[str]:
    before = await own_group()
    child = await create(own_group())
    return [before, child, await own_group()]


async def in_a_task_group(coro: Coroutine[Any, Any, str]) -> str:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(coro)
    return task.result()


async def in_a_callback(coro: Coroutine[Any, Any, str]) -> str:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str] = loop.create_future()

    async def child() -> None:
        future.set_result(await coro)

    loop.call_soon(lambda: loop.call_later(0, lambda: kept.append(loop.create_task(child()))))
    kept: list[object] = []
    return await future


async def gathered(coro: Coroutine[Any, Any, str]) -> str:
    return (await asyncio.gather(coro))[0]


WAYS_TO_CREATE = [asyncio.create_task, gathered, in_a_task_group, in_a_callback, spawn]


@pytest.mark.parametrize("create", WAYS_TO_CREATE, ids=lambda create: create.__name__)
def test_children_inherit_the_explicit_group(run: Run, create: Any) -> None:
    async def main() -> None:
        assert await spawn(with_child(create), group="tenant") == ["tenant"] * 3
        assert await own_group() == inspect.currentframe().f_code.co_qualname  # type: ignore[union-attr]
        assert (groups()["tenant"].explicit, groups()["tenant"].tasks_alive) == (True, 0)

    run(main)


def test_an_implicit_group_is_not_inherited(run: Run) -> None:
    async def main() -> None:
        assert await asyncio.create_task(with_child(asyncio.create_task)) == ["with_child", "own_group", "with_child"]
        assert not groups()["own_group"].explicit

    run(main)


def test_an_empty_context_detaches(run: Run) -> None:
    async def detached(coro: Coroutine[Any, Any, str]) -> str:
        return await asyncio.create_task(coro, context=contextvars.Context())

    async def detached_spawn(coro: Coroutine[Any, Any, str]) -> str:
        return await spawn(coro, context=contextvars.Context())

    async def main() -> None:
        for create in (detached, detached_spawn):
            assert await spawn(with_child(create), group="tenant") == ["tenant", "own_group", "tenant"]

    run(main)


def test_a_child_with_a_group_of_its_own(run: Run) -> None:
    async def grandchild(coro: Coroutine[Any, Any, str]) -> str:
        return " ".join(await spawn(with_child(asyncio.create_task), group="inner")) + " " + await coro

    async def main() -> None:
        outcome = await spawn(with_child(grandchild), group="outer")
        assert outcome == ["outer", "inner inner inner outer", "outer"]

    run(main)


def test_a_group_does_not_reach_the_parent_or_its_context(run: Run) -> None:
    async def main() -> None:
        before = dict(contextvars.copy_context())
        await spawn(own_group(), group="tenant")
        assert dict(contextvars.copy_context()) == before
        context = contextvars.copy_context()
        await spawn(own_group(), group="tenant", context=context)
        assert dict(context) == before

    run(main)
