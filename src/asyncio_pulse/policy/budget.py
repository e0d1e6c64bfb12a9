"""What one poll may use.

A poll is the time during which nothing else on the loop runs, so its length is everybody's latency. Two currencies bound
it: microseconds of CPU time, which the core measures, and operations, which the program itself spends with `checkpoint`
where it could give way. Operations cost nothing to count and need no clock; time catches what never counts.
"""

from __future__ import annotations

import dataclasses

from asyncio_pulse.policy.priority import TaskPriority
from asyncio_pulse.policy.ranges import Range, check_ranges

__all__ = ["OPERATION_BUDGET", "POLL_BUDGET_US", "TaskBudget"]

POLL_BUDGET_US = Range(2_000, 50, 10_000_000)
"""Long enough that a poll of an ordinary handler (0.05 to 1 ms) never breaks it, short enough that twenty in a row stay
below the 50 ms at which a person notices."""

OPERATION_BUDGET = Range(128, 1, 1_000_000)
"""Tokio's number: high enough to pay for the way back to the loop (about 1 us), low enough to stay below the time
budget when an operation takes 10 us."""


@dataclasses.dataclass(frozen=True, slots=True)
class TaskBudget:
    """The budget of one poll.

    Args:
        cpu_us: CPU time, microseconds, 50..10,000,000.
        operations: What `checkpoint` and `budget_spent` may spend before they report it spent, 1..1,000,000.

    Raises:
        ConfigError: A number is of the wrong type or out of its range.
    """

    cpu_us: int = POLL_BUDGET_US.default
    operations: int = OPERATION_BUDGET.default

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        check_ranges(
            "budget", {"cpu_us": (self.cpu_us, POLL_BUDGET_US), "operations": (self.operations, OPERATION_BUDGET)}
        )

    def for_priority(self, priority: TaskPriority) -> TaskBudget:
        """This budget times the multiplier of a priority, held within the bounds."""
        return TaskBudget(
            cpu_us=POLL_BUDGET_US.clamp(int(self.cpu_us * priority.budget_multiplier)),
            operations=OPERATION_BUDGET.clamp(int(self.operations * priority.budget_multiplier)),
        )
