"""How much a task may use, and how soon it is held to it, by its priority."""

from __future__ import annotations

import enum

__all__ = ["TaskPriority"]


class TaskPriority(enum.IntEnum):
    """Four priorities; a smaller number is more urgent.

    A critical task has four times the budget of a normal one, and is taken to task four times sooner when it breaks even
    that: it was trusted with more.
    """

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3

    @property
    def budget_multiplier(self) -> float:
        """What the budget of a poll is multiplied by: 4, 2, 1, 0.5."""
        return (4.0, 2.0, 1.0, 0.5)[self]

    @property
    def threshold_multiplier(self) -> float:
        """What the thresholds of escalation are multiplied by: 0.25, 0.5, 1, 2."""
        return (0.25, 0.5, 1.0, 2.0)[self]
