"""The process forks while loops in several threads are under load: children govern loops of their own, nothing hangs."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import traceback
import warnings

from tests.isolated.measuring import rounds
from tests.stress.behaviours import config, mixed
from tests.stress.books import Books
from tests.stress.census import unchanged
from tests.stress.figures import Figures
from tests.stress.loops import governed, in_threads, kinds
from tests.support.loops import LoopFactory

LOOPS, TASKS, STEPS = 4, 16, 3
FORKS = rounds(short=6, long=300)
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
logging.disable(logging.CRITICAL)


async def load(books: Books) -> None:
    tasks = [books.spawn(coro, group=group, preemptible=True) for group, coro in mixed(TASKS, STEPS)]
    assert await asyncio.gather(*tasks) == [STEPS] * TASKS


async def load_once(books: Books) -> None:
    books.enter(asyncio.current_task())
    await load(books)


def govern_in_child(make_loop: LoopFactory) -> None:
    # It counts for itself, from nothing.
    asyncio.events._set_running_loop(None)
    books = Books()
    with governed(make_loop, config()) as (runner, manager):
        runner.run(load_once(books))
    books.check(manager)


def fork(make_loop: LoopFactory) -> int:
    """Fork, and give the child's number; the child ends here."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            govern_in_child(make_loop)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def run(make_loop: LoopFactory, forks: int) -> None:
    figures, ended = Figures(), threading.Event()

    async def load_until_ended(books: Books, forked: list[int]) -> None:
        books.enter(asyncio.current_task())
        while not ended.is_set():
            await load(books)
            # Inside a task of the loop in the main thread, too.
            if forked and len(forked) < forks // 2:
                forked.append(fork(make_loop))

    def work(number: int) -> None:
        if number == LOOPS:
            try:
                for _ in range(forks):
                    assert os.waitpid(fork(make_loop), 0)[1] == 0
            finally:
                ended.set()
            return
        books, forked = Books(), [fork(make_loop)] if number == 0 else []
        with governed(make_loop, config()) as (runner, manager):
            runner.run(load_until_ended(books, forked))
        assert not any(os.waitpid(child, 0)[1] for child in forked)
        books.check(manager)
        figures.add(manager)

    in_threads(work, LOOPS + 1)
    figures.print(f"{LOOPS} loops under load, forked {forks} times from beside them")


for each in kinds():
    run(each, 2)
    with unchanged():
        run(each, FORKS)
print("ok")
