"""TaskBudget: defaults, bounds, multipliers."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from asyncio_pulse import ConfigError, PulseError, TaskPriority
from asyncio_pulse.lowlevel import TaskBudget
from asyncio_pulse.policy.ranges import Range


def test_the_defaults_are_those_of_the_specification() -> None:
    assert TaskBudget() == TaskBudget(cpu_us=2000, operations=128)


@pytest.mark.parametrize(
    ("priority", "cpu_us", "operations"),
    [
        (TaskPriority.CRITICAL, 8000, 512),
        (TaskPriority.HIGH, 4000, 256),
        (TaskPriority.NORMAL, 2000, 128),
        (TaskPriority.LOW, 1000, 64),
    ],
)
def test_a_priority_multiplies_both(priority: TaskPriority, cpu_us: int, operations: int) -> None:
    assert TaskBudget().for_priority(priority) == TaskBudget(cpu_us, operations)


def test_a_multiplied_budget_stays_within_its_bounds() -> None:
    assert TaskBudget(10_000_000, 1_000_000).for_priority(TaskPriority.CRITICAL) == TaskBudget(10_000_000, 1_000_000)
    assert TaskBudget(50, 1).for_priority(TaskPriority.LOW) == TaskBudget(50, 1)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"cpu_us": 49}, "invalid budget: cpu_us must be a whole number from 50 to 10000000, got 49"),
        ({"cpu_us": 10_000_001}, "cpu_us must be a whole number from 50 to 10000000, got 10000001"),
        ({"operations": 0}, "operations must be a whole number from 1 to 1000000, got 0"),
        ({"operations": 1_000_001}, "operations must be a whole number from 1 to 1000000, got 1000001"),
        ({"cpu_us": "2000"}, "cpu_us must be a whole number from 50 to 10000000, got '2000'"),
        ({"cpu_us": 2000.0}, "got 2000.0"),
        ({"operations": True}, "operations must be a whole number from 1 to 1000000, got True"),
        ({"operations": None}, "got None"),
    ],
    ids=str,
)
def test_a_bad_number_is_named(numbers: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TaskBudget(**numbers)


def test_every_bad_number_is_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"cpu_us must be .*, got 1; operations must be .*, got 0"):
        TaskBudget(1, 0)


def test_the_bounds_themselves_are_allowed() -> None:
    assert TaskBudget(50, 1)
    assert TaskBudget(10_000_000, 1_000_000)


def test_the_error_is_ours_and_the_natural_one() -> None:
    with pytest.raises(PulseError):
        TaskBudget(0)
    with pytest.raises(ValueError, match="cpu_us"):
        TaskBudget(0)


def test_it_cannot_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TaskBudget().cpu_us = 5  # type: ignore[misc]


@pytest.mark.parametrize(("value", "nearest"), [(1, 5), (5, 5), (7, 7), (9, 9), (10, 9)])
def test_clamping_gives_the_nearest_allowed_value(value: int, nearest: int) -> None:
    assert Range(7, 5, 9).clamp(value) == nearest
