"""The measured loops, and the work that most benchmarks use: tasks that only yield."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import asyncio_pulse as pulse

from .method import expect

__all__ = [
    "LoopFactory",
    "Spinner",
    "Surroundings",
    "bare",
    "governed",
    "loop_factories",
    "spin",
    "time_polls",
    "time_spinning",
    "watchdog_running",
]

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Spinner = Callable[[int], Coroutine[Any, Any, None]]
Surroundings = Callable[[asyncio.AbstractEventLoop, int], contextlib.AbstractContextManager[None]]


def loop_factories() -> dict[str, LoopFactory]:
    """Return loop factories by name: asyncio, and uvloop if it is installed."""
    factories: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
    if importlib.util.find_spec("uvloop"):
        import uvloop

        factories["uvloop"] = uvloop.new_event_loop
    return factories


async def spin(yields: int) -> None:
    """Yield `yields` times. A task of this coroutine is polled once more than it yields."""
    sleep = asyncio.sleep
    for _ in range(yields):
        await sleep(0)


@contextlib.contextmanager
def bare(loop: asyncio.AbstractEventLoop, polls: int) -> Iterator[None]:
    """The control: the unchanged loop."""
    yield


@contextlib.contextmanager
def governed(loop: asyncio.AbstractEventLoop, polls: int, config: pulse.TierConfig | None = None) -> Iterator[None]:
    """The governed loop. Every poll must be counted."""
    manager = pulse.install(config, loop=loop)
    try:
        yield
        expect("polls", manager.get_metrics().polls, polls)
    finally:
        pulse.uninstall(loop=loop)


@contextlib.contextmanager
def watchdog_running() -> Iterator[None]:
    """Keep the watchdog running during all measurements, the control included.

    Otherwise each governed round would start the watchdog, and pay for a new thread's first steps on its own processor. A
    program pays for them once. The running watchdog has a bound of its own.
    """
    loop = asyncio.new_event_loop()
    pulse.install(loop=loop)
    try:
        yield
    finally:
        pulse.uninstall(loop=loop)
        loop.close()


async def _keep_time(yields: int, readings: list[int]) -> None:
    """Spin like the other tasks. Read the clock after every task's first poll, and before any task's last."""
    sleep = asyncio.sleep
    for number in range(yields):
        if number == 1:
            readings.append(time.thread_time_ns())
        await sleep(0)
    readings.append(time.thread_time_ns())


async def time_spinning(
    spinners: Sequence[Spinner],
    yields: int,
    create: Callable[[int, Coroutine[Any, Any, None]], asyncio.Task[None]] | None = None,
) -> float:
    """Run one task per spinner on the running loop, side by side, and one that keeps the time.

    Args:
        spinners: Coroutine functions that yield as often as their argument says.
        yields: The argument of each, >= 2. Each task is polled once more than that.
        create: Makes the task of the n-th coroutine; the loop's `create_task` by default.

    Returns:
        CPU nanoseconds per poll. The creation of the tasks and their first and last polls are not included. `task_creation`
        measures those.
    """
    loop = asyncio.get_running_loop()
    readings: list[int] = []
    coroutines = [_keep_time(yields, readings), *(spinner(yields) for spinner in spinners)]
    if create is None:
        tasks = [loop.create_task(coroutine) for coroutine in coroutines]
    else:
        tasks = [create(number, coroutine) for number, coroutine in enumerate(coroutines)]
    del coroutines
    await asyncio.gather(*tasks)
    started_ns, ended_ns = readings
    return (ended_ns - started_ns) / (len(tasks) * (yields - 1))


def time_polls(
    factory: LoopFactory,
    surroundings: Surroundings,
    spinners: Sequence[Spinner],
    yields: int,
    create: Callable[[int, Coroutine[Any, Any, None]], asyncio.Task[None]] | None = None,
) -> float:
    """Run tasks as `time_spinning` does, on a loop of their own.

    Args:
        factory: Makes the loop.
        surroundings: Context on the loop during the run. It receives the number of polls that will happen.
        spinners: Coroutine functions, one per task.
        yields: Number of yields of each, >= 2.
        create: Makes the task of the n-th coroutine.

    Returns:
        CPU nanoseconds per poll.
    """

    async def drive() -> float:
        with surroundings(asyncio.get_running_loop(), (len(spinners) + 1) * (yields + 1)):
            return await time_spinning(spinners, yields, create)

    loop = factory()
    try:
        return loop.run_until_complete(drive())
    finally:
        loop.close()
