"""Priorities: their order and what they multiply."""

from __future__ import annotations

import pytest

from asyncio_pulse import TaskPriority


@pytest.mark.parametrize(
    ("priority", "number", "budget", "threshold"),
    [
        (TaskPriority.CRITICAL, 0, 4, 0.25),
        (TaskPriority.HIGH, 1, 2, 0.5),
        (TaskPriority.NORMAL, 2, 1, 1),
        (TaskPriority.LOW, 3, 0.5, 2),
    ],
)
def test_the_numbers_of_the_specification(priority: TaskPriority, number: int, budget: float, threshold: float) -> None:
    assert (priority, priority.budget_multiplier, priority.threshold_multiplier) == (number, budget, threshold)


def test_there_are_four_and_a_smaller_one_is_more_urgent() -> None:
    assert sorted(TaskPriority) == list(TaskPriority)
    assert len(TaskPriority) == 4
