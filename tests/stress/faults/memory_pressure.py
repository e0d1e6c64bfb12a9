"""Fifteen hundred tasks where memory is short: by a limit that refuses, and in a control group that reclaims."""

from __future__ import annotations

import asyncio
import mmap
import os
import random
import resource
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import asyncio_pulse as pulse
from tests.isolated.measuring import resident_bytes, rounds
from tests.stress.behaviours import config, mixed
from tests.stress.books import Books
from tests.stress.census import unchanged
from tests.stress.figures import Figures
from tests.stress.loops import governed, kinds
from tests.support.loops import LoopFactory

TASKS, MIXED = 1_500, 100
TIMES = rounds(short=1, long=20)
MIB = 2**20
LEFT = 128 * MIB
"""What is left to the tasks: some hundredths of what they want together."""
RESERVE = 64 * MIB
"""What they leave to the rest of the program. Each slice of the stack has a data stack of its own, 16 KiB: CPython 3.11
ends a call for whose frame there is no memory without an exception."""
BLOCKS = 3
"""So many each of them wants."""
HELD = MIB // 32
"""What each holds in the control group: together less than the limit."""
FILE = 200 * MIB
"""What is written meanwhile: more than it, so that the system has to take memory back all the time."""


# Left in its middle, with the one and without the other, nobody would have any left.
@pulse.no_preempt()
def take(size: int) -> bytearray:
    block = bytearray(size)
    try:
        mmap.mmap(-1, RESERVE).close()
    except OSError:
        raise MemoryError from None
    return block


async def hungry(chance: random.Random) -> int:
    """Hold memory over some awaits, as a request does; tell how many of its blocks it got."""
    held = []
    try:
        for _ in range(BLOCKS):
            held.append(take(int(chance.uniform(0.5, 4) * MIB)))
            await asyncio.sleep(chance.random() / 100)
    except MemoryError:
        pass
    return len(held)


async def modest(chance: random.Random) -> int:
    """Hold little, and use it."""
    held = b"x" * HELD
    await asyncio.sleep(chance.random() / 10)
    return held.count(b"x", -1)


@contextmanager
def refusing() -> Iterator[None]:
    """Let the system refuse what is asked for beyond a limit."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + LEFT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


async def all_tasks(
    books: Books, behaviour: Callable[[random.Random], Coroutine[None, None, int]], pressure: object, times: int
) -> int:
    books.enter(asyncio.current_task())
    satisfied = 0
    # The threads of the core are there before the pressure is.
    for turn in range(times + 1):
        with pressure() if turn else nullcontext():  # type: ignore[operator]
            rest = [books.spawn(coro, group=group, preemptible=True) for group, coro in mixed(MIXED, 2, seed=turn)]
            count = TASKS - MIXED if turn else 0
            tasks = [books.spawn(behaviour(random.Random(number)), group="memory") for number in range(count)]
            satisfied += sum(await asyncio.gather(*tasks))
            await asyncio.gather(*rest)
    return satisfied


def run(
    make_loop: LoopFactory,
    behaviour: Callable[[random.Random], Coroutine[None, None, int]],
    pressure: object,
    times: int,
) -> int:
    figures, books = Figures(), Books()
    with governed(make_loop, config()) as (runner, manager):
        satisfied = runner.run(all_tasks(books, behaviour, pressure, times))
    books.check(manager)
    figures.add(manager)
    assert figures.tasks == times * TASKS + MIXED + 1
    figures.print(f"{TASKS} tasks under memory pressure, {times} times, {satisfied} blocks granted")
    return satisfied


def refused() -> None:
    for make_loop in kinds():
        run(make_loop, hungry, refusing, 1)
        with unchanged():
            assert 0 < run(make_loop, hungry, refusing, TIMES) < BLOCKS * TIMES * (TASKS - MIXED)


def reclaimed(group: Path) -> None:
    """Write a file for ever, so that the memory of the control group is always full."""
    (group / "memory.limit_in_bytes").write_text(str(resident_bytes() + TASKS * HELD + 80 * MIB))
    (group / "cgroup.procs").write_text(str(os.getpid()))
    ended = threading.Event()

    def write() -> None:
        # Not /tmp, which may itself be memory.
        with tempfile.TemporaryFile(dir="/var/tmp") as file:
            while not ended.is_set():
                file.seek(0)
                for _ in range(FILE // MIB):
                    file.write(bytes(MIB))
                    if ended.wait(0.001):
                        break

    def failures() -> int:
        return int((group / "memory.failcnt").read_text())

    for make_loop in kinds():
        run(make_loop, modest, nullcontext, 1)
        with unchanged():
            writer, before = threading.Thread(target=write), failures()
            writer.start()
            while failures() == before:
                pass
            before = failures()
            run(make_loop, modest, nullcontext, TIMES)
            assert failures() > before
            ended.set()
            writer.join()
            ended.clear()


if len(sys.argv) > 1:
    reclaimed(Path(sys.argv[1]))
else:
    refused()
print("ok")
