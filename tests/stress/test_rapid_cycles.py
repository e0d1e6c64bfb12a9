"""Thousands of tasks, one after another, are made and end in every way."""

from __future__ import annotations

import asyncio

from tests.isolated.measuring import rounds
from tests.stress.behaviours import config
from tests.stress.books import Books
from tests.stress.census import unchanged
from tests.stress.figures import Figures
from tests.stress.loops import governed
from tests.support.loops import LoopFactory

CYCLES = rounds(short=2_000, long=200_000)
GROUPS = 7


async def succeed() -> str:
    await asyncio.sleep(0)
    return "done"


async def fail() -> None:
    await asyncio.sleep(0)
    raise LookupError("wanted")


async def wait_for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def cycle(books: Books, number: int) -> None:
    """Make one task and see it end: of three that return, one fails and two are cancelled, before and after their start."""
    work = (succeed, fail, succeed, wait_for_ever, succeed, wait_for_ever)[number % 6]
    options = {"group": f"group {number % GROUPS}"} if number % 2 else {"priority": number // 2 % 4}
    task = books.spawn(work(), **options)
    if work is wait_for_ever:
        if number % 6 == 5:
            await asyncio.sleep(0)
        task.cancel()
    [ending] = await asyncio.gather(task, return_exceptions=True)
    expected = {succeed: str, fail: LookupError, wait_for_ever: asyncio.CancelledError}[work]
    assert isinstance(ending, expected)


async def cycles(books: Books, count: int) -> None:
    books.enter(asyncio.current_task())
    for number in range(count):
        await cycle(books, number)


def run_cycles(make_loop: LoopFactory, count: int) -> None:
    figures, books = Figures(), Books()
    with governed(make_loop, config(max_tier="warn")) as (runner, manager):
        runner.run(cycles(books, count))
    books.check(manager)
    figures.add(manager)
    assert figures.tasks == count + 1
    figures.print("rapid cycles")


def test_each_ends_as_it_should_and_nothing_is_left(loop_factory: LoopFactory) -> None:
    run_cycles(loop_factory, 100)
    with unchanged():
        run_cycles(loop_factory, CYCLES)
