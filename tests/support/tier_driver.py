"""Drives the polls of a manager that belongs to no loop."""

from __future__ import annotations

import itertools
from typing import Any

import asyncio_pulse as pulse
from asyncio_pulse import TierConfig
from asyncio_pulse.lowlevel import PollResult, TaskContext
from asyncio_pulse.policy.tier_config import InterventionAction, TierPolicyBuilder
from asyncio_pulse.policy.tier_policy import BALANCED_TIERS

MONITOR, WARN, YIELD, ISOLATE = InterventionAction
BAD_MS = 1_000

# Nothing here waits for time to pass, so steps must not.
QUICK: dict[str, Any] = {
    "promotion_hysteresis_ms": 0,
    "demotion_hysteresis_ms": 0,
    "cooldown_duration_ms": 0,
    "promotion_window_ms": 10,
    "freeze_min_groups": 65_536,
}
QUICK_DOWN = tuple(
    TierPolicyBuilder(tier).demotion_min_duration_ms(10).demotion_good_polls(5).demotion_evaluation_interval(1).build()
    for tier in BALANCED_TIERS
)


def quick(**settings: Any) -> TierConfig:
    return TierConfig(**QUICK | settings)


class Driver:
    """Drives polls of a manager that belongs to no loop; their lengths are what it says."""

    def __init__(self, config: TierConfig | None = None) -> None:
        self.manager = pulse.TierManager(quick() if config is None else config)
        self._numbers = itertools.count(1)

    def poll(
        self,
        ms: float,
        group: str | None = "jobs",
        *,
        task: int = 0,
        result: PollResult = PollResult.PENDING,
        priority: pulse.TaskPriority | None = None,
    ) -> None:
        """Poll a task once; a group's task 0 lives on, unless it is told to end."""
        task_id = hash((group, task))
        self.manager.before_poll(task_id, TaskContext(self.manager.worker_id, priority, group))
        self.manager.after_poll(task_id, result, int(ms * 1e6))

    def look(self) -> None:
        """Begin another poll, so that what was bad before it is told; its task was not kept waiting if that is long ago."""
        task_id = -next(self._numbers)
        self.manager.before_poll(task_id, TaskContext(self.manager.worker_id, group="others"))
        self.manager.after_poll(task_id, PollResult.READY, 0)

    def offend(self, group: str | None = "jobs", **options: Any) -> None:
        """Poll much too long once, while another task waits."""
        self.poll(BAD_MS, group, **options)
        self.look()

    def rise_to(self, tier: InterventionAction, group: str = "jobs") -> None:
        """Offend until the group is there: that somebody waited is seen only if this thread is not held up."""
        for _ in range(100):
            if self.tier(group) >= tier:
                return
            self.offend(group)
        raise AssertionError(f"{group} came to {self.tier(group)} only")

    def tier(self, group: str = "jobs") -> int:
        return {each.name: each.tier for each in self.manager.groups()}.get(group, 0)

    def reason(self, group: str = "jobs") -> str:
        return {each.name: each.tier_reason for each in self.manager.groups()}[group]

    def changes(self, group: str = "jobs", account: str = "group") -> list[tuple[int, int]]:
        return [
            (change.before, change.after)
            for change in self.manager.audit()
            if (change.group, change.account) == (group, account)
        ]

    def would_park(self, group: str = "jobs") -> int:
        """How many of ten polls would be parked."""
        before = self.manager.get_metrics().would_park
        for _ in range(10):
            self.poll(0, group)
        return self.manager.get_metrics().would_park - before
