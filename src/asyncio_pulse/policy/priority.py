"""Priorities: how much a task may use, and how soon it is promoted for using more."""

from __future__ import annotations

import enum

__all__ = ["TaskPriority"]


class TaskPriority(enum.IntEnum):
    """Four priorities; a smaller number is more urgent.

    A critical task has four times the budget of a normal one. If it exceeds even that, it is promoted four times sooner,
    because it was trusted with more.
    """

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3

    @property
    def budget_multiplier(self) -> float:
        """Factor of a poll's budget: 4, 2, 1, 0.5."""
        return (4.0, 2.0, 1.0, 0.5)[self]

    @property
    def threshold_multiplier(self) -> float:
        """Factor of the promotion thresholds: 0.25, 0.5, 1, 2."""
        return (0.25, 0.5, 1.0, 2.0)[self]
