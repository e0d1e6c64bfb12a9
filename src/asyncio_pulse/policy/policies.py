"""The configuration of a governed loop: frozen, and valid by construction."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from asyncio_pulse.policy.budget import OPERATION_BUDGET, POLL_BUDGET_US, TaskBudget
from asyncio_pulse.policy.priority import TaskPriority
from asyncio_pulse.policy.ranges import Range, check_ranges, refuse

__all__ = ["TierConfig"]

SETTINGS: Mapping[str, Range] = {
    "poll_budget_us": POLL_BUDGET_US,
    "operation_budget": OPERATION_BUDGET,
    "slow_poll_threshold_ms": Range(10, 1, 60_000),
    "stall_threshold_ms": Range(100, 10, 600_000),
    # 2.2 KiB each; more names than an operator can read are folded together anyway.
    "max_groups": Range(1_024, 8, 65_536),
    # One reading of the CPU clock costs about 200 ns: at most 0.1 % of the time at 200 us.
    "cpu_sample_interval_us": Range(200, 10, 100_000),
}


@dataclasses.dataclass(frozen=True, slots=True)
class TierConfig:
    """How a loop is governed.

    Args:
        poll_budget_us: CPU time one poll of a NORMAL task may use, microseconds, 50..10,000,000.
        operation_budget: Operations one poll of a NORMAL task may spend at checkpoints, 1..1,000,000.
        slow_poll_threshold_ms: Wall time past which a poll counts as slow, milliseconds, 1..60,000.
        stall_threshold_ms: How long a loop may not come back to its selector before it counts as stalled, whatever runs,
            milliseconds, 10..600,000.
        max_groups: Groups that are told apart; the rest are counted together as `(other)`, 8..65,536.
        cpu_sample_interval_us: How old a reading of the CPU clock may be when a poll starts, microseconds, 10..100,000:
            the error bound of a poll's CPU time.

    Raises:
        ConfigError: Lists every number that is of the wrong type or out of its range.
    """

    poll_budget_us: int = SETTINGS["poll_budget_us"].default
    operation_budget: int = SETTINGS["operation_budget"].default
    slow_poll_threshold_ms: int = SETTINGS["slow_poll_threshold_ms"].default
    stall_threshold_ms: int = SETTINGS["stall_threshold_ms"].default
    max_groups: int = SETTINGS["max_groups"].default
    cpu_sample_interval_us: int = SETTINGS["cpu_sample_interval_us"].default

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        check_ranges("configuration", {name: (getattr(self, name), bounds) for name, bounds in SETTINGS.items()})

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> TierConfig:
        """Build a configuration from names and values, such as a TOML table.

        Raises:
            ConfigError: Lists every unknown name and every value at fault.
        """
        unknown = sorted(set(mapping) - set(SETTINGS))
        faults = [f"{name} is not a setting (known: {', '.join(SETTINGS)})" for name in unknown]
        for name, bounds in SETTINGS.items():
            fault = bounds.fault(name, mapping.get(name, bounds.default))
            if fault is not None:
                faults.append(fault)
        refuse("configuration", faults)
        return cls(**mapping)

    @property
    def budget(self) -> TaskBudget:
        """The budget of one poll of a NORMAL task."""
        return TaskBudget(self.poll_budget_us, self.operation_budget)

    def budget_for(self, priority: TaskPriority) -> TaskBudget:
        """The budget of one poll at a priority."""
        return self.budget.for_priority(priority)
