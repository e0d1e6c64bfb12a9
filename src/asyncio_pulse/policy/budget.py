"""The budget of one poll.

Nothing else on the loop runs during a poll, so its length adds to every task's latency. Two currencies bound it. The core
measures microseconds of CPU time. The program spends operations with `checkpoint`, where it could give way. Operations cost
nothing to count and need no clock; time covers code that never spends operations.
"""

from __future__ import annotations

import dataclasses

from asyncio_pulse.policy.priority import TaskPriority
from asyncio_pulse.policy.ranges import Range, check_ranges

__all__ = ["OPERATION_BUDGET", "POLL_BUDGET_US", "TaskBudget"]

POLL_BUDGET_US = Range(2_000, 50, 10_000_000)
"""Long enough that a poll of an ordinary handler (0.05 to 1 ms) never exceeds it.

Short enough that twenty such polls in a row stay below the 50 ms at which a person notices.
"""

OPERATION_BUDGET = Range(128, 1, 1_000_000)
"""Tokio's number.

High enough to amortise the way back to the loop (about 1 us), low enough to stay below the time budget when an operation
takes 10 us.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class TaskBudget:
    """The budget of one poll.

    Args:
        cpu_us: CPU time, microseconds, 50..10,000,000.
        operations: Operations that `checkpoint` and `budget_spent` may spend before they report the budget as spent,
            1..1,000,000.

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
        """Return this budget times the multiplier of a priority, clamped to the allowed range."""
        return TaskBudget(
            cpu_us=POLL_BUDGET_US.clamp(int(self.cpu_us * priority.budget_multiplier)),
            operations=OPERATION_BUDGET.clamp(int(self.operations * priority.budget_multiplier)),
        )
