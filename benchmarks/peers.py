"""The cost that asyncio-pulse and comparable tools add to a poll, on the same work."""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
import functools
import importlib
import importlib.util
import logging
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import Any

from .loops import LoopFactory, Surroundings, bare, governed, loop_factories, spin, time_polls, watchdog_running
from .method import Figure, differences, interleave, on_processor

__all__ = ["measure"]

ROUNDS = 25
TASKS, YIELDS = 20, 499
SLOW_S = 0.05


class TimedCoroutine(collections.abc.Coroutine[Any, Any, Any]):
    """A Python version of the core's work for a poll: counts it and adds up its time."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self.polls = 0
        self.wall_ns = 0

    def send(self, value: Any) -> Any:
        started_ns = time.perf_counter_ns()
        try:
            return self._coroutine.send(value)
        finally:
            self.polls += 1
            self.wall_ns += time.perf_counter_ns() - started_ns

    def throw(self, *arguments: Any) -> Any:
        return self._coroutine.throw(*arguments)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()


@contextlib.contextmanager
def python_wrapper(loop: asyncio.AbstractEventLoop, polls: int) -> Iterator[None]:
    """A task factory whose coroutines are timed in Python."""

    def create(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(TimedCoroutine(coroutine), loop=loop, **options)

    loop.set_task_factory(create)
    yield
    loop.set_task_factory(None)


@contextlib.contextmanager
def _handle_restored() -> Iterator[None]:
    earlier = asyncio.Handle._run
    yield
    asyncio.Handle._run = earlier  # type: ignore[method-assign]


@contextlib.contextmanager
def handle_patch(loop: asyncio.AbstractEventLoop, polls: int) -> Iterator[None]:
    """The common home-made detector: `Handle._run` replaced."""
    with _handle_restored():
        earlier = asyncio.Handle._run

        def run(self: asyncio.Handle) -> None:
            started = time.perf_counter()
            earlier(self)
            if time.perf_counter() - started > SLOW_S:
                logging.warning("slow: %r", self)

        asyncio.Handle._run = run  # type: ignore[method-assign]
        yield


@contextlib.contextmanager
def debug_mode(loop: asyncio.AbstractEventLoop, polls: int) -> Iterator[None]:
    """The debug mode of asyncio itself."""
    loop.set_debug(True)
    yield
    loop.set_debug(False)


@contextlib.contextmanager
def aiodebug(loop: asyncio.AbstractEventLoop, polls: int) -> Iterator[None]:
    with _handle_restored():
        importlib.import_module("aiodebug.log_slow_callbacks").enable(SLOW_S)
        yield


@contextlib.contextmanager
def aiocop(loop: asyncio.AbstractEventLoop, polls: int) -> Iterator[None]:
    """aiocop, set up as its README says. It is active only in this context, because it patches each loop separately."""
    module = importlib.import_module("aiocop")
    _configure_aiocop()
    module.activate()
    yield
    module.deactivate()


@functools.cache
def _configure_aiocop() -> None:
    module = importlib.import_module("aiocop")
    module.patch_audit_functions()
    module.start_blocking_io_detection()
    module.detect_slow_tasks(threshold_ms=round(SLOW_S * 1e3))


# Tools that do not work on uvloop replace asyncio.Handle, which uvloop does not use.
PEERS: dict[str, tuple[Surroundings, str | None, bool]] = {
    "bare": (bare, None, True),
    "asyncio-pulse": (governed, None, True),
    "Handle._run patched": (handle_patch, None, False),
    "aiodebug": (aiodebug, "aiodebug", False),
    "pure-Python wrapper": (python_wrapper, None, True),
    "aiocop": (aiocop, "aiocop", True),
    "asyncio debug mode": (debug_mode, None, True),
}


def _measure_loop(loop_name: str, factory: LoopFactory) -> list[Figure]:
    contenders: dict[str, Callable[[], float]] = {}
    absent = []
    for name, (surroundings, module, works_on_uvloop) in PEERS.items():
        if loop_name == "uvloop" and not works_on_uvloop:
            continue
        if module and importlib.util.find_spec(module) is None:
            absent.append(name)
        else:
            contenders[name] = functools.partial(time_polls, factory, surroundings, [spin] * TASKS, YIELDS)
    costs = interleave(contenders, ROUNDS)
    figures = [Figure.of(f"a bare poll, {loop_name}", "ns", costs["bare"])]
    figures += [
        Figure.of(f"  + {name}, {loop_name}", "ns", differences(costs, name, "bare"))
        for name in contenders
        if name != "bare"
    ]
    nothing = float("nan")
    figures += [Figure(f"  + {name}, {loop_name}", "ns", nothing, nothing, nothing, note="absent") for name in absent]
    return figures


def _measure_trio() -> list[Figure]:
    """Measure the same work on trio, bare and with an Instrument that counts the steps and adds up their time."""
    import trio

    class StepTimer(trio.abc.Instrument):
        def __init__(self) -> None:
            self.steps = 0
            self.wall_ns = 0
            self._started_ns = 0

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            self._started_ns = time.perf_counter_ns()

        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            self.steps += 1
            self.wall_ns += time.perf_counter_ns() - self._started_ns

    async def spin_trio() -> None:
        yield_once = trio.lowlevel.cancel_shielded_checkpoint
        for _ in range(YIELDS):
            await yield_once()

    async def drive() -> int:
        started_ns = time.thread_time_ns()
        async with trio.open_nursery() as nursery:
            for _ in range(TASKS):
                nursery.start_soon(spin_trio)
        return time.thread_time_ns() - started_ns

    def run(instruments: Callable[[], list[trio.abc.Instrument]]) -> float:
        wall_ns: int = trio.run(drive, instruments=instruments())
        return wall_ns / (TASKS * (YIELDS + 1))

    costs = interleave({"bare": lambda: run(list), "instrument": lambda: run(lambda: [StepTimer()])}, ROUNDS)
    return [
        Figure.of("a bare poll, trio", "ns", costs["bare"]),
        Figure.of("  + trio with an Instrument", "ns", differences(costs, "instrument", "bare")),
    ]


def measure() -> list[Figure]:
    """Measure on every installed loop, and on trio if it is installed."""
    # The tools' warnings about this very work would be measured too.
    logging.disable(logging.CRITICAL)
    figures = []
    with watchdog_running(), on_processor(0):
        for name, factory in loop_factories().items():
            figures += _measure_loop(name, factory)
        if importlib.util.find_spec("trio"):
            figures += _measure_trio()
    return figures
