"""Decisions about tiers that fail are switched off, each counted once as a fault of ours, and the program goes on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from typing import Any

import asyncio_pulse as pulse
from asyncio_pulse import errors
from asyncio_pulse.policy.tier_config import TierPolicyBuilder
from asyncio_pulse.policy.tier_policy import BALANCED_TIERS
from asyncio_pulse.runtime.decisions import TierDecisions

logging.disable()
told: list[Any] = []
sys.unraisablehook = lambda fault: told.append(fault.exc_value)

# One violation is enough, every good poll is told, and who does nothing for a moment is idle.
CONFIG = pulse.TierConfig(
    poll_budget_us=1_000,
    promotion_window_ms=10,
    idle_decay_ms=100,
    preempt="off",
    freeze_min_groups=65_536,
    tier_policies=(
        *(
            TierPolicyBuilder(tier).promotion_violations(1).demotion_evaluation_interval(1).build()
            for tier in BALANCED_TIERS[:3]
        ),
        BALANCED_TIERS[3],
    ),
)


async def offend() -> str:
    end = time.thread_time() + 0.003
    while time.thread_time() < end:
        pass
    for _ in range(5):
        await asyncio.sleep(0)
    await asyncio.sleep(0.12)
    return "done"


async def be_governed(calls: list[str]) -> None:
    manager = pulse.get_manager()
    before = manager.get_metrics()
    results = await asyncio.gather(*[pulse.spawn(offend(), group=f"group {number}") for number in range(20)])
    metrics = manager.get_metrics()
    assert results == ["done"] * 20
    assert len(calls) == metrics.internal_errors - before.internal_errors == 1, (calls, metrics)
    # The task in whose poll it happened is measured like the others: 5 bare yields, a sleep, and the end.
    assert {group.polls for group in manager.groups() if group.explicit} == {7}
    decided = manager.audit()
    assert await pulse.spawn(offend(), group="later") == "done"
    assert manager.audit() == decided
    assert manager.get_metrics().violations > metrics.violations
    assert len(calls) == 1


def run(method: str, factory: Any) -> None:
    calls: list[str] = []

    def fail(*arguments: object) -> None:
        calls.append(method)
        raise ZeroDivisionError(method)

    original = getattr(TierDecisions, method)
    setattr(TierDecisions, method, fail)
    pulse.run(be_governed(calls), config=CONFIG, loop_factory=factory)
    setattr(TierDecisions, method, original)


for factory in (asyncio.new_event_loop, pulse.new_uvloop_event_loop):
    with contextlib.suppress(errors.UnavailableError):
        for method in ("on_bad_poll", "on_good_polls", "on_idle", "on_new_group"):
            run(method, factory)
# The interpreter is told of the first one only.
assert [str(error) for error in told] == ["on_bad_poll"], told
print("ok")
