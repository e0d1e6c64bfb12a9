"""A governed task shows itself as a plain one does: repr, name, stack, state and coroutine."""

from __future__ import annotations

import asyncio
import collections.abc
import inspect
import io
import sys
import weakref
from typing import Any

import pytest

from tests.support.comparison import compare, suspend
from tests.support.loops import Loop, LoopFactory

Coroutine = Any


async def sleeper() -> str:
    await asyncio.sleep(0)
    return "slept"


async def inner(future: asyncio.Future[None]) -> None:
    await future


async def outer(future: asyncio.Future[None]) -> None:
    await inner(future)


async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("as told")


async def settle(*tasks: asyncio.Task[Any]) -> None:
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()


def test_reprs_in_every_state(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[str]:
        future = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(outer(future))
        named = asyncio.create_task(sleeper(), name="a name of its own")
        failing = asyncio.create_task(fail())
        doomed = asyncio.create_task(outer(future), name="doomed")
        tasks = [waiting, named, failing, doomed, asyncio.current_task()]
        reprs = [repr(task) for task in tasks]
        await asyncio.sleep(0)
        reprs += [repr(task) for task in tasks]
        doomed.cancel("enough")
        waiting.add_done_callback(print)
        reprs += [repr(task) for task in tasks]
        waiting.remove_done_callback(print)
        await settle(named, failing, doomed)
        future.cancelled() or future.set_result(None)
        await asyncio.wait([waiting])
        return reprs + [repr(task) for task in tasks]

    outcome = compare(loop_factory, scenario, parked=False).outcome
    assert isinstance(outcome, list)
    assert "coro=<outer() running at" in outcome[5]
    assert "a name of its own" in outcome[1]


def test_a_task_sees_itself_running(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        task = asyncio.current_task()
        assert task is not None
        coro: Coroutine = task.get_coro()
        return [
            repr(task),
            inspect.getcoroutinestate(coro),
            [(frame.f_code.co_name, frame.f_lineno) for frame in task.get_stack()],
            coro.cr_running,
            getattr(coro, "cr_suspended", None),
            coro.cr_frame is sys._getframe(),
            coro.cr_await,
        ]

    outcome = compare(loop_factory, scenario).outcome
    assert isinstance(outcome, list)
    assert outcome[1] == inspect.CORO_RUNNING


def test_coroutine_states_and_attributes(loop_factory: LoopFactory) -> None:
    def look(task: asyncio.Task[Any]) -> list[object]:
        coro: Coroutine = task.get_coro()
        frame = coro.cr_frame
        return [
            inspect.getcoroutinestate(coro),
            sorted(inspect.getcoroutinelocals(coro)),
            frame and (frame.f_code.co_qualname, frame.f_lineno),
            coro.cr_running,
            coro.cr_suspended,
            coro.cr_code.co_qualname,
            coro.cr_origin,
            getattr(coro.cr_await, "__qualname__", coro.cr_await),
            coro.__name__,
            coro.__qualname__,
        ]

    async def scenario() -> list[object]:
        future = asyncio.get_running_loop().create_future()
        waiting, failing = asyncio.create_task(outer(future)), asyncio.create_task(fail())
        never, ended = asyncio.create_task(outer(future)), asyncio.create_task(sleeper())
        looks = [look(task) for task in (waiting, failing, never)]
        never.cancel()
        await asyncio.sleep(0)
        looks += [look(task) for task in (waiting, failing, never)]
        future.set_result(None)
        await settle(waiting, failing, never, ended)
        return looks + [look(task) for task in (waiting, failing, never, ended)]

    outcome = compare(loop_factory, scenario).outcome
    assert isinstance(outcome, list)
    states = [row[0] for row in outcome]
    assert states == ["CORO_CREATED"] * 3 + ["CORO_SUSPENDED"] * 2 + ["CORO_CLOSED"] * 5


def test_what_is_awaitable_and_what_is_a_coroutine(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        task = asyncio.create_task(sleeper())
        coro: Coroutine = task.get_coro()
        answers = [
            inspect.isawaitable(coro),
            asyncio.iscoroutine(coro),
            isinstance(coro, collections.abc.Coroutine),
            isinstance(coro, collections.abc.Awaitable),
            isinstance(coro, collections.abc.Generator),
            inspect.isgenerator(coro),
            inspect.isasyncgen(coro),
            weakref.ref(coro)() is coro,
            hash(coro) == hash(coro),
            coro in {coro},
            asyncio.isfuture(task),
            isinstance(task, asyncio.Task),
            type(task).__name__,
            type(task).__qualname__,
        ]
        await task
        return answers

    outcome = compare(loop_factory, scenario).outcome
    assert isinstance(outcome, list)
    assert outcome[:4] == [True] * 4


def test_a_name_can_be_given_to_the_coroutine(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        coro = sleeper()
        task = asyncio.create_task(coro)
        driven: Coroutine = task.get_coro()
        driven.__name__, driven.__qualname__ = "renamed", "Here.renamed"
        with pytest.raises(TypeError) as refused:
            driven.__name__ = 42
        text = repr(task)
        await task
        return [coro.__name__, coro.__qualname__, str(refused.value), text]

    compare(loop_factory, scenario)


def test_stacks(loop_factory: LoopFactory) -> None:
    def look(task: asyncio.Task[Any], limit: int | None = None) -> list[object]:
        text = io.StringIO()
        task.print_stack(limit=limit, file=text)
        return [[(frame.f_code.co_name, frame.f_lineno) for frame in task.get_stack(limit=limit)], text.getvalue()]

    async def scenario() -> list[object]:
        future = asyncio.get_running_loop().create_future()
        waiting, failing, ended = (asyncio.create_task(coro) for coro in (outer(future), fail(), sleeper()))
        looks = [look(waiting), look(failing)]
        await asyncio.sleep(0)
        looks += [look(waiting), look(waiting, limit=1), look(failing), look(ended)]
        future.set_result(None)
        await settle(waiting, failing, ended)
        return [*looks, look(waiting), look(failing), look(failing, limit=1), look(ended)]

    outcome = compare(loop_factory, scenario, parked=False).outcome
    assert isinstance(outcome, list)
    assert "Traceback for <Task finished" in outcome[-3][1]


def test_names(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[str]:
        loop = asyncio.get_running_loop()
        tasks = [
            asyncio.create_task(sleeper()),
            asyncio.create_task(sleeper(), name=None),
            asyncio.create_task(sleeper(), name="given"),
            asyncio.create_task(sleeper(), name=42),  # type: ignore[arg-type]
            loop.create_task(sleeper()),
            loop.create_task(sleeper(), name="of the loop"),
            asyncio.ensure_future(sleeper()),
        ]
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(sleeper()), group.create_task(sleeper(), name="of the group")]
        tasks[0].set_name("changed")
        await settle(*tasks)
        return [task.get_name() for task in tasks] + [asyncio.current_task().get_name()]  # type: ignore[union-attr]

    outcome = compare(loop_factory, scenario).outcome
    assert isinstance(outcome, list)
    assert outcome == [
        "changed", "Task+1", "given", "42", "Task+2", "of the loop", "Task+3", "Task+4", "of the group", "Task+0",
    ]  # fmt: skip


def test_who_is_there(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        future = asyncio.get_running_loop().create_future()
        tasks = [asyncio.create_task(outer(future)), asyncio.create_task(sleeper())]
        before = sorted(task.get_name() for task in asyncio.all_tasks())
        future.set_result(None)
        await settle(*tasks)
        after = sorted(task.get_name() for task in asyncio.all_tasks())
        return [before, after, asyncio.current_task() in asyncio.all_tasks()]

    compare(loop_factory, scenario)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="call graphs came with Python 3.14")
def test_call_graphs(loop_factory: LoopFactory) -> None:
    async def waits_for(task: asyncio.Task[None]) -> None:
        await task

    async def graph_from_inside() -> str:
        await asyncio.sleep(0)
        return asyncio.format_call_graph()

    def shape(graph: Any) -> list[object]:
        return [
            repr(graph.future),
            [(entry.frame.f_code.co_qualname, entry.frame.f_lineno) for entry in graph.call_stack],
            [shape(parent) for parent in graph.awaited_by],
        ]

    async def scenario() -> list[object]:
        future = asyncio.get_running_loop().create_future()
        awaited = asyncio.create_task(outer(future), name="awaited")
        parents = [asyncio.create_task(waits_for(awaited), name=f"parent {i}") for i in range(2)]
        seen: list[object] = [await asyncio.create_task(graph_from_inside())]
        async with asyncio.TaskGroup() as group:
            child = group.create_task(graph_from_inside())
        seen.append(child.result())
        text = io.StringIO()
        asyncio.print_call_graph(awaited, file=text)
        graph = asyncio.capture_call_graph(awaited)
        assert graph is not None
        # They stand in a set.
        text_lines = sorted(text.getvalue().splitlines())
        seen += [text_lines, shape(graph)[:2], sorted(map(str, shape(graph)[2]))]  # type: ignore[call-overload]
        future.set_result(None)
        await settle(awaited, *parents)
        return seen

    outcome = compare(loop_factory, scenario).outcome
    assert isinstance(outcome, list)
    assert "inner" in str(outcome[3])
    assert "parent 1" in str(outcome[4])


def test_a_class_put_in_place_of_task_makes_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """GIVEN a program that wants tasks written in Python; WHEN its loop is governed; THEN it gets them, as from asyncio."""
    written_in_python: type[asyncio.Task[Any]] = asyncio.tasks._PyTask  # type: ignore[attr-defined]

    async def scenario() -> list[object]:
        task = asyncio.create_task(sleeper())
        return [type(task) is written_in_python, await task]

    monkeypatch.setattr(asyncio.tasks, "Task", written_in_python)
    assert compare(asyncio.new_event_loop, scenario).outcome == [True, "slept"]


def test_a_task_that_nobody_holds_vanishes_at_once(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        class Held:
            pass

        async def hold(what: object) -> None:
            await asyncio.sleep(0)

        held = Held()
        gone = weakref.ref(held)
        task = asyncio.create_task(hold(held))
        del held
        alive = gone() is not None
        await task
        return [alive, gone() is None]

    assert compare(loop_factory, scenario).outcome == [True, True]


def test_the_loop_itself_is_collected(loop_factory: LoopFactory) -> None:
    loops: list[weakref.ref[Loop]] = []

    async def scenario() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await suspend()

    compare(loop_factory, scenario)
    assert [loop() for loop in loops] == [None] * 3
