"""Loops raise out of `run_forever`, threads die with theirs, and whatever was under way can be finished elsewhere."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading

import asyncio_pulse as pulse
from tests.isolated.measuring import rounds
from tests.stress.behaviours import config, mixed
from tests.stress.books import Books
from tests.stress.census import unchanged
from tests.stress.figures import Figures
from tests.stress.loops import in_threads, kinds
from tests.support.loops import LoopFactory

TASKS, STEPS = 60, 6
TIMES = rounds(short=1, long=100)
logging.disable(logging.CRITICAL)


# What asyncio lets out of the loop; a thread ends by it without a word.
Bolt = SystemExit


def bolt() -> None:
    raise Bolt


def run_until_it_raises(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_later(0.01, bolt)
    try:
        loop.run_forever()
    except Bolt:
        return
    raise AssertionError("the loop did not raise")


async def all_of(tasks: list[asyncio.Task[int]]) -> list[int]:
    return await asyncio.gather(*tasks)


def raised_and_finished(make_loop: LoopFactory, number: int) -> None:
    """Number 0 runs in the main thread, where tasks are left in the middle of their code."""
    figures, books, loop = Figures(), Books(), make_loop()
    manager = pulse.install(config(), loop=loop)

    async def start() -> list[asyncio.Task[int]]:
        books.enter(asyncio.current_task())
        return [books.spawn(coro, group=group, preemptible=True) for group, coro in mixed(TASKS, STEPS, seed=number)]

    tasks = loop.run_until_complete(start())
    for _ in range(3):
        run_until_it_raises(loop)
    assert any(not task.done() for task in tasks)

    def finish() -> None:
        waiting = all_of(tasks)
        ending = loop.create_task(waiting)
        books.enter(ending)
        assert loop.run_until_complete(ending) == [STEPS] * TASKS

    if number % 2:
        # Its own thread is as good as dead: another one takes it over.
        other = threading.Thread(target=finish)
        other.start()
        other.join()
    else:
        finish()
    pulse.uninstall(loop=loop)
    loop.close()
    books.check(manager)
    figures.add(manager)
    if number == 0:
        figures.print("a loop that raised three times")


def dies_with_its_loop(make_loop: LoopFactory) -> None:
    """A thread ends by an exception, and nobody closes its loop or finishes its tasks."""

    def die() -> None:
        loop = make_loop()
        loop.set_exception_handler(lambda loop, context: None)
        pulse.install(config(), loop=loop)

        async def start() -> None:
            for group, coro in mixed(TASKS, STEPS):
                pulse.spawn(coro, group=group)

        loop.run_until_complete(start())
        run_until_it_raises(loop)
        abandoned.append(loop)
        raise Bolt

    abandoned: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=die)
    thread.start()
    thread.join()
    [loop] = abandoned
    loop.close()


def run(make_loop: LoopFactory, times: int) -> None:
    for _ in range(times):
        in_threads(lambda number: raised_and_finished(make_loop, number), 4)
        dies_with_its_loop(make_loop)
        gc.collect()


for each in kinds():
    run(each, 1)
    with unchanged():
        run(each, TIMES)
print("ok")
