"""The four kinds of tasks that the suite puts on loops: I/O-bound, CPU-heavy, moderate and bursty."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import asyncio_pulse as pulse
from asyncio_pulse.config import InterventionAction, TierPolicyBuilder
from tests.support.offenders import burn

Behaviour = Callable[[int, random.Random], Coroutine[Any, Any, int]]

BUDGET_US = 300


def config(**settings: Any) -> pulse.TierConfig:
    """Make offenders rise, fall and rise again within seconds; preemption is on and has to be asked for."""
    tiers = [
        TierPolicyBuilder(action)
        .promotion_violations(3)
        .demotion_good_polls(20)
        .demotion_min_duration_ms(50)
        .demotion_evaluation_interval(5)
        .build()
        for action in list(InterventionAction)[:3]
    ]
    last = TierPolicyBuilder(InterventionAction.ISOLATE).demotion_min_duration_ms(50).build()
    settings = {
        "poll_budget_us": BUDGET_US,
        "slow_poll_threshold_ms": 5,
        "max_tier": "isolate",
        "promotion_window_ms": 50,
        "promotion_share": 0.0,
        "promotion_hysteresis_ms": 0,
        "demotion_hysteresis_ms": 0,
        "cooldown_duration_ms": 0,
        "freeze_min_groups": 65_536,
        "warn_interval_ms": 3_600_000,
        "preempt": "anywhere",
        "tier_policies": (*tiers, last),
        **settings,
    }
    return pulse.TierConfig(**settings)


async def io_bound(steps: int, chance: random.Random) -> int:
    """Wait for timers and for a socket: well-behaved."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        for _ in range(steps):
            await asyncio.sleep(chance.random() / 1000)
            await loop.sock_sendall(ours, b"question")
            assert await loop.sock_recv(theirs, 100) == b"question"
    return steps


async def cpu_heavy(steps: int, chance: random.Random) -> int:
    """Break the budget at every step."""
    for _ in range(steps):
        burn(BUDGET_US * chance.uniform(1.5, 3))
        await asyncio.sleep(0)
    return steps


async def moderate(steps: int, chance: random.Random) -> int:
    """Compute a little at a time, give way now and then."""
    for step in range(steps):
        burn(BUDGET_US * chance.uniform(0.05, 0.2))
        await pulse.checkpoint(50)
        if step % 3 == 2:
            await asyncio.sleep(0)
    return steps


async def bursty(steps: int, chance: random.Random) -> int:
    """Do nothing for a while, then as much as it likes."""
    for _ in range(steps):
        await asyncio.sleep(chance.random() / 1000)
        burn(BUDGET_US * chance.choice([0, 0, 0.5, 3]))
    return steps


BEHAVIOURS: tuple[Behaviour, ...] = (io_bound, cpu_heavy, moderate, bursty)


def mixed(count: int, steps: int, seed: int = 0) -> Iterator[tuple[str, Coroutine[Any, Any, int]]]:
    """Make as many coroutines of each behaviour, each with a chance of its own and the name of its group."""
    for number in range(count):
        behaviour = BEHAVIOURS[number % len(BEHAVIOURS)]
        yield behaviour.__name__, behaviour(steps, random.Random(f"{seed} {number}"))
