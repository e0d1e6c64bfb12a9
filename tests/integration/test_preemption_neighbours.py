"""Preemption beside other users of greenlets, and inside itself."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import greenlet
import pytest

import asyncio_pulse as pulse
from tests.support.loops import LoopFactory
from tests.support.preempting import compute_until, preemptions, run_preempting, until_preempted

CHECKS = 20_000
"""Of the current task, in one poll: some budgets long on any machine, so that each such poll is preempted."""


class Spawned(greenlet.greenlet):
    """As database libraries do it: synchronous code in a greenlet, whose awaits are done by the task around it."""

    def __init__(self, function: Callable[..., Any], driver: greenlet.greenlet) -> None:
        super().__init__(function, driver)
        self.gr_context = driver.gr_context


def await_only(awaitable: Any) -> Any:
    return greenlet.getcurrent().parent.switch(awaitable)


async def greenlet_spawn(function: Callable[[], Any]) -> Any:
    context = Spawned(function, greenlet.getcurrent())
    result = context.switch()
    while not context.dead:
        try:
            value = await result
        except BaseException:
            result = context.throw(*sys.exc_info())
        else:
            result = context.switch(value)
    return result


def synchronous() -> list[int]:
    results = []
    for number in range(5):
        results.append(await_only(asyncio.sleep(0.005, number)))
        for _ in range(50_000):
            pass
    return results


async def failing() -> None:
    await asyncio.sleep(0.005)
    raise KeyError("inside")


def synchronous_failure() -> list[str]:
    caught = []
    for _ in range(3):
        try:
            await_only(failing())
        except KeyError as error:
            caught.append(str(error))
    return caught


@pytest.mark.parametrize("preemptible", ["from the start", "in mid-life"])
def test_greenlets_of_other_libraries_go_on(loop_factory: LoopFactory, preemptible: str) -> None:
    async def main() -> None:
        async def request() -> tuple[list[int], list[str]]:
            views.append(pulse.current())
            return await greenlet_spawn(synchronous), await greenlet_spawn(synchronous_failure)

        views: list[pulse.TaskView] = []
        task = pulse.spawn(request(), preemptible=None if preemptible == "in mid-life" else True)
        await asyncio.sleep(0.007)
        views[0].update(preemptible=True)
        assert await asyncio.wait_for(task, 20) == ([0, 1, 2, 3, 4], ["'inside'"] * 3)

    run_preempting(main(), loop_factory)


def test_only_the_innermost_of_nested_polls_is_left(loop_factory: LoopFactory) -> None:
    @pulse.governed(preemptible=True)
    async def inner(me: Any, enough: int) -> int:
        wrong = 0
        while preemptions() < enough:
            for _ in range(CHECKS):
                wrong += asyncio.current_task() is not me
            await asyncio.sleep(0)
        return wrong

    async def outer() -> int:
        me = asyncio.current_task()
        wrong = 0
        for enough in (10, 20, 30):
            while preemptions() < enough - 5:
                pass
            wrong += await inner(me, enough)
            wrong += asyncio.current_task() is not me
        return wrong

    async def main() -> None:
        tasks = [pulse.spawn(outer(), preemptible=True) for _ in range(2)]
        assert await asyncio.wait_for(asyncio.gather(*tasks), 60) == [0, 0]

    run_preempting(main(), loop_factory)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_an_eager_task_inside_a_preemptible_one_suspends_to_it(loop_factory: LoopFactory) -> None:
    wrong = 0

    async def inner() -> None:
        nonlocal wrong
        me = asyncio.current_task()
        for _ in range(60):
            for _ in range(CHECKS):
                wrong += asyncio.current_task() is not me
            await asyncio.sleep(0)

    async def outer() -> None:
        nonlocal wrong
        me = asyncio.current_task()
        loop = asyncio.get_running_loop()
        decorated = pulse.governed(preemptible=True)(inner)
        tasks = [asyncio.Task(decorated(), loop=loop, eager_start=True) for _ in range(3)]
        for _ in range(10 * CHECKS):
            wrong += asyncio.current_task() is not me
        await asyncio.gather(*tasks)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(loop.get_task_factory())
        # Eager steps refuse most requests, and the next ones then come later.
        async with asyncio.timeout(60):
            while preemptions() <= 5:
                await pulse.spawn(outer(), preemptible=True)

    run_preempting(main(), loop_factory)
    assert wrong == 0


def test_a_call_gives_way_in_a_task_that_opts_in_later(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        stop = asyncio.Event()

        @pulse.governed(preemptible=True)
        async def inner() -> int:
            await asyncio.sleep(0.005)
            return await compute_until(stop)

        async def outer() -> str:
            views.append(pulse.current())
            await inner()
            return "outer"

        views: list[pulse.TaskView] = []
        task = asyncio.create_task(outer())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        # From its next poll on, the task around the call is preemptible as well.
        views[0].update(preemptible=True)
        await until_preempted(20)
        stop.set()
        assert await asyncio.wait_for(task, 20) == "outer"

    run_preempting(main(), loop_factory)
