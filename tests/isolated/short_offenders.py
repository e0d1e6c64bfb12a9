"""Short tasks that offend, each with an account of its own that reaches a tier, leave nothing behind."""

from __future__ import annotations

import gc
import itertools
import logging

import measuring

import asyncio_pulse as pulse
from asyncio_pulse import _core as core
from asyncio_pulse.lowlevel import PollResult, TaskContext
from asyncio_pulse.policy.tier_config import GroupPolicy, InterventionAction
from asyncio_pulse.runtime.decisions import Account

logging.disable()
# How many groups there are just now depends on which were folded last; they are counted below.
measuring.COUNTED_TYPES = tuple(counted for counted in measuring.COUNTED_TYPES if counted is not core.Group)
MOST_GROUPS = 64

# Groups come and go, too, and nothing waits for time to pass.
manager = pulse.TierManager(
    pulse.TierConfig(
        max_groups=MOST_GROUPS,
        promotion_hysteresis_ms=0,
        promotion_window_ms=10,
        freeze_min_groups=65_536,
        audit_size=64,
        groups={"*": GroupPolicy(max_tier=InterventionAction.ISOLATE)},
    )
)
names = itertools.count()


def offend(tasks: int) -> None:
    for number in range(tasks):
        group = f"group {next(names)}" if number % 2 else None
        task_id = number + 1
        for result in (PollResult.PENDING, PollResult.READY):
            manager.before_poll(task_id, TaskContext(manager.worker_id, group=group))
            manager.after_poll(task_id, result, 1_000_000_000)
    # What was bad last is told, and its task let go, with the next poll; other than by a task that ends there is none.
    manager.before_poll(0, TaskContext(manager.worker_id))
    manager.after_poll(0, PollResult.READY, 0)


measuring.assert_memory_is_bounded(offend, measuring.rounds(short=5_000, long=1_000_000), 1_000_000)
metrics = manager.get_metrics()
assert (metrics.tasks_alive, metrics.internal_errors) == (0, 0), metrics
assert len(manager.audit()) == 64
# The tasks are gone, and so are the groups that were folded away, with their accounts.
assert sum(isinstance(each, Account) for each in gc.get_objects()) <= MOST_GROUPS
assert {change.account for change in manager.audit()} == {"task", "group"}
print("ok")
