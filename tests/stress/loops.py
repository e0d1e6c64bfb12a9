"""Governed loops, several at once: each in a thread of its own, the first one in that of the caller."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import asyncio_pulse as pulse
from asyncio_pulse.runtime import preemption
from tests.support.loops import LoopFactory

T = TypeVar("T")

LOOPS = 8
TOGETHER_S = 60.0


def in_threads(work: Callable[[int], T], count: int = LOOPS) -> list[T]:
    """Do some work for each number at the same time, number 0 here; give the results, raise the first failure.

    Args:
        work: Called with its number, after all threads have started.
        count: How many.
    """
    together = threading.Barrier(count)
    results: dict[int, T] = {}
    failures: list[BaseException] = []

    def do(number: int) -> None:
        try:
            together.wait(TOGETHER_S)
            results[number] = work(number)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=do, args=(number,)) for number in range(1, count)]
    for thread in threads:
        thread.start()
    do(0)
    for thread in threads:
        thread.join()
    # The last loop may have ended in another thread, which cannot give the signal back.
    preemption.stop()
    if failures:
        raise failures[0]
    return [results[number] for number in range(count)]


@contextlib.contextmanager
def governed(make_loop: LoopFactory, config: pulse.TierConfig) -> Iterator[tuple[asyncio.Runner, pulse.TierManager]]:
    """Give a runner of a governed loop: what it runs meanwhile is governed, what ends it is not."""
    with asyncio.Runner(loop_factory=make_loop) as runner:
        manager = pulse.install(config, loop=runner.get_loop())
        try:
            yield runner, manager
        finally:
            pulse.uninstall(loop=runner.get_loop())


def kinds() -> list[Callable[[], Any]]:
    """Makers of plain loops: asyncio's, and uvloop's where it is installed."""
    with contextlib.suppress(ImportError):
        import uvloop

        return [asyncio.new_event_loop, uvloop.new_event_loop]
    return [asyncio.new_event_loop]
