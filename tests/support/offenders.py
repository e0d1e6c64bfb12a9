"""Brings an explicit group to Yield by what it does, so that whatever its tasks resume waits in the slow queue."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import asyncio_pulse as pulse
from asyncio_pulse.config import InterventionAction, SlowQueueConfig, TierPolicyBuilder
from tests.support.loops import LoopFactory

T = TypeVar("T")

GROUP = "offenders"
SLICE_US = 200
NEVER_MS = 3_600_000
MOST_ATTEMPTS = 200


def strict_config(**settings: Any) -> pulse.TierConfig:
    """One violation is enough for each step up, and nobody comes down again."""
    tiers = tuple(
        TierPolicyBuilder(action)
        .promotion_violations(1)
        .demotion_good_polls(1_000_000)
        .demotion_min_duration_ms(NEVER_MS)
        .build()
        for action in (InterventionAction.MONITOR, InterventionAction.WARN, InterventionAction.YIELD)
    )
    last = TierPolicyBuilder(InterventionAction.ISOLATE).demotion_min_duration_ms(NEVER_MS).build()
    settings = {
        "poll_budget_us": SLICE_US,
        "promotion_window_ms": 600_000,
        "promotion_share": 0.0,
        # Parking alone.
        "preempt": "off",
        "promotion_hysteresis_ms": 0,
        "idle_decay_ms": NEVER_MS,
        "warn_interval_ms": NEVER_MS,
        # On a slow machine a crowd of a thousand waits for long.
        "park_breaker_ms": NEVER_MS,
        # Tests offend in more groups at once than a healthy machine would.
        "freeze_min_groups": 65_536,
        "tier_policies": (*tiers, last),
        **settings,
    }
    return pulse.TierConfig(**settings)


def parking_config(**settings: Any) -> pulse.TierConfig:
    """The same, and an allowance so small that nearly every resumption of an offender has to wait."""
    return strict_config(slow_queue=SlowQueueConfig(slice_time_per_turn_us=1), **settings)


def burn(cpu_us: float) -> None:
    """Use so much CPU time: what other processes do meanwhile is not in it."""
    end_ns = time.thread_time_ns() + cpu_us * 1000
    while time.thread_time_ns() < end_ns:
        pass


async def offend(
    group: str = GROUP, tier: InterventionAction = InterventionAction.YIELD, **options: Any
) -> contextvars.Context:
    """Break the budget in a group until it is at a tier; for a task that is no offender itself.

    Returns:
        A context in which tasks belong to the group.
    """

    async def break_the_budget() -> contextvars.Context:
        burn(10 * SLICE_US)
        await asyncio.sleep(0)
        return contextvars.copy_context()

    loop = asyncio.get_running_loop()
    debug = loop.get_debug()
    # Debug mode walks the stack for each callback: under a trace function longer than a loop is taken to be busy.
    loop.set_debug(False)
    try:
        for _ in range(MOST_ATTEMPTS):
            contexts = await asyncio.gather(
                *(pulse.spawn(break_the_budget(), group=group, **options) for _ in range(4))
            )
            if tier_of(group) >= tier:
                return contexts[0]
    finally:
        loop.set_debug(debug)
    raise AssertionError(f"{group} came only to tier {tier_of(group)}: {pulse.get_manager().audit()}")


def tier_of(group: str) -> int:
    """The tier of an explicit group of the running loop."""
    return next((each.tier for each in pulse.get_manager().groups() if each.explicit and each.name == group), 0)


def spawn_offender(coro: Coroutine[Any, Any, T], *, group: str = GROUP, **options: Any) -> asyncio.Task[T]:
    """Create a task of the group where the loop is governed, and a plain one elsewhere."""
    try:
        pulse.get_manager()
    except pulse.PulseError:
        return asyncio.create_task(coro)
    return pulse.spawn(coro, group=group, **options)


async def serve(main: Coroutine[Any, Any, T]) -> T:
    """Run what looks on in a task that is never parked itself, whatever it does."""
    return await pulse.spawn(main, max_tier=InterventionAction.WARN)


def run(
    make_loop: LoopFactory, main: Callable[[], Coroutine[Any, Any, T]], config: pulse.TierConfig | None = None
) -> T:
    """Run on a plain loop, or with a configuration on a governed one whose group offends."""

    async def offend_first() -> T:
        await offend()
        result = await serve(main())
        assert pulse.get_manager().get_metrics().internal_errors == 0
        return result

    if config is None:
        with asyncio.Runner(loop_factory=make_loop) as runner:
            return runner.run(main())
    return pulse.run(offend_first(), config=config, loop_factory=make_loop)
