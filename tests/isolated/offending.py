"""A group of offenders, for the scripts of this directory: whatever its tasks resume is parked."""

from __future__ import annotations

import asyncio
import os
import time

import asyncio_pulse as pulse
from asyncio_pulse import errors
from asyncio_pulse.config import InterventionAction, SlowQueueConfig, TierPolicyBuilder

NEVER_MS = 3_600_000
FACTORIES = [asyncio.new_event_loop]
try:
    pulse.new_uvloop_event_loop().close()
    import uvloop

    FACTORIES.append(uvloop.new_event_loop)
except errors.UnavailableError:
    pass

TIERS = [
    TierPolicyBuilder(action).promotion_violations(1).demotion_min_duration_ms(NEVER_MS).build()
    for action in list(InterventionAction)[:3]
]
LAST_TIER = TierPolicyBuilder(InterventionAction.ISOLATE).demotion_min_duration_ms(NEVER_MS).build()
CONFIG = pulse.TierConfig(
    # Preemption was not tried under the address sanitizer.
    preempt="off" if "asan" in os.environ.get("LD_PRELOAD", "") else "await",
    poll_budget_us=100,
    promotion_share=0.0,
    promotion_hysteresis_ms=0,
    idle_decay_ms=NEVER_MS,
    slow_queue=SlowQueueConfig(slice_time_per_turn_us=1),
    tier_policies=(*TIERS, LAST_TIER),
)


async def break_the_budget() -> None:
    end_ns = time.thread_time_ns() + 1_000_000
    while time.thread_time_ns() < end_ns:
        pass
    await asyncio.sleep(0)


async def offend() -> None:
    """Bring the group `offenders` of the running loop to Yield."""
    for _ in range(1_000):
        await asyncio.gather(*(pulse.spawn(break_the_budget(), group="offenders") for _ in range(4)))
        if any(group.tier >= InterventionAction.YIELD for group in pulse.get_manager().groups()):
            return
    raise AssertionError(pulse.get_manager().audit())
