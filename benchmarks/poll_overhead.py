"""The cost of one poll at tier 0 beyond asyncio's own: in a tight loop, and over more tasks than the caches hold.

By default every poll runs on a slice of the stack, so that it can be suspended. The first rows are without that. They come
first, because a thread that once had slices goes on with them.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import types
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import asyncio_pulse as pulse

from .loops import (
    LoopFactory,
    Spinner,
    Surroundings,
    bare,
    governed,
    loop_factories,
    spin,
    time_polls,
    watchdog_running,
)
from .method import Figure, differences, interleave, on_processor

__all__ = ["measure"]

TIGHT_ROUNDS, TIGHT_TASKS, TIGHT_YIELDS = 500, 19, 100
ROUNDS, TASKS, GROUPS, YIELDS = 25, 10_000, 100, 20
TIGHT_BOUND_NS, COLD_BOUND_NS, SLICE_BOUND_NS = 50.0, 80.0, 25.0

Create = Callable[[int, Coroutine[Any, Any, None]], asyncio.Task[None]]


def _distinct_spinners() -> list[Spinner]:
    """Make one coroutine function per group, each with its own code object, and distribute them over the tasks."""
    names = [f"spin_{number}" for number in range(GROUPS)]
    functions = [types.FunctionType(spin.__code__.replace(co_name=name, co_qualname=name), globals()) for name in names]
    return [functions[number % GROUPS] for number in range(TASKS)]


_tenant: contextvars.ContextVar[int] = contextvars.ContextVar("tenant")


def _create_with_variable(number: int, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """The control for explicit groups, which travel in the context: a plain program that tags its tasks the same way.

    On asyncio a value of its own in each task's context alone makes a poll with cold caches more expensive.
    """
    context = contextvars.copy_context()
    context.run(_tenant.set, number % GROUPS)
    return asyncio.get_running_loop().create_task(coroutine, context=context)


def _spawn_in_group(number: int, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return pulse.spawn(coroutine, group=f"tenant {number % GROUPS}")


_only_measured = functools.partial(governed, config=pulse.TierConfig(preempt="off"))


def _compare(
    rounds: int,
    factory: LoopFactory,
    spinners: Sequence[Spinner],
    yields: int,
    create: Create | None = None,
    surroundings: Surroundings = governed,
) -> list[float]:
    control = _create_with_variable if create else None
    costs = interleave(
        {
            "bare": lambda: time_polls(factory, bare, spinners, yields, control),
            "governed": lambda: time_polls(factory, surroundings, spinners, yields, create),
        },
        rounds,
    )
    return differences(costs, "governed", "bare")


def _measure(name: str, factory: LoopFactory, surroundings: Surroundings, more_ns: float) -> list[Figure]:
    tight = _compare(TIGHT_ROUNDS, factory, [spin] * TIGHT_TASKS, TIGHT_YIELDS, None, surroundings)
    implicit = _compare(ROUNDS, factory, _distinct_spinners(), YIELDS, None, surroundings)
    explicit = _compare(ROUNDS, factory, [spin] * TASKS, YIELDS, _spawn_in_group, surroundings)
    return [
        Figure.of(f"a poll, tight loop, {name}", "ns", tight, TIGHT_BOUND_NS + more_ns),
        Figure.of(f"a poll, {TASKS:,} tasks of {GROUPS} functions, {name}", "ns", implicit, COLD_BOUND_NS + more_ns),
        Figure.of(
            f"a poll, {TASKS:,} tasks in {GROUPS} explicit groups, {name}",
            "ns",
            explicit,
            COLD_BOUND_NS + more_ns,
            note="control: tasks that carry a context variable",
        ),
    ]


def measure() -> list[Figure]:
    """Measure on every installed loop."""
    factories = loop_factories()
    with watchdog_running(), on_processor(0):
        measured = [_measure(f"only measured, {name}", each, _only_measured, 0) for name, each in factories.items()]
        by_default = [_measure(name, each, governed, SLICE_BOUND_NS) for name, each in factories.items()]
    return [figure for figures in (*measured, *by_default) for figure in figures]
