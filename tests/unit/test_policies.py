"""TierConfig: defaults, bounds, the way from a mapping."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from asyncio_pulse import ConfigError, TaskPriority, TierConfig
from asyncio_pulse.lowlevel import TaskBudget
from asyncio_pulse.policy.groups import KNOWN_WRAPPERS, check_group_name
from asyncio_pulse.policy.policies import SETTINGS


def test_the_defaults_are_those_of_the_specification() -> None:
    assert dataclasses.asdict(TierConfig()) == {
        "poll_budget_us": 2000,
        "operation_budget": 128,
        "slow_poll_threshold_ms": 10,
        "stall_threshold_ms": 100,
        "max_groups": 1024,
        "cpu_sample_interval_us": 200,
    }


@pytest.mark.parametrize("name", SETTINGS)
def test_the_bounds_of_each_setting(name: str) -> None:
    bounds = SETTINGS[name]
    assert getattr(TierConfig(**{name: bounds.lowest}), name) == bounds.lowest
    assert getattr(TierConfig(**{name: bounds.highest}), name) == bounds.highest
    for value in (bounds.lowest - 1, bounds.highest + 1):
        with pytest.raises(ConfigError, match=f"{name} must be from {bounds.lowest} to {bounds.highest}, got {value}"):
            TierConfig(**{name: value})


@pytest.mark.parametrize("value", ["5", 5.0, None, True, [5]], ids=repr)
def test_only_whole_numbers_are_numbers(value: Any) -> None:
    with pytest.raises(ConfigError, match="max_groups must be a whole number from 8 to 65536, got "):
        TierConfig(max_groups=value)


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        TierConfig.from_mapping({"max_groups": 1, "poll_budget_us": "x", "colour": "red", "a": 1})
    message = str(caught.value)
    assert message.startswith("invalid configuration: a is not a setting (known: poll_budget_us, ")
    for part in ("colour is not a setting", "max_groups must be from", "poll_budget_us must be a whole number"):
        assert part in message


def test_a_mapping_gives_what_it_names_and_defaults_for_the_rest() -> None:
    assert TierConfig.from_mapping({"max_groups": 8}) == TierConfig(max_groups=8)
    assert TierConfig.from_mapping({}) == TierConfig()


def test_the_budget_is_that_of_a_priority() -> None:
    config = TierConfig(poll_budget_us=1000, operation_budget=10)
    assert config.budget == TaskBudget(1000, 10)
    assert config.budget_for(TaskPriority.CRITICAL) == TaskBudget(4000, 40)


@pytest.mark.parametrize("name", ["", "x" * 201, 5, b"name", ["name"]], ids=repr)
def test_a_bad_group_name_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match="group must be a str of 1 to 200 characters, got "):
        check_group_name(name)


def test_a_group_name_is_a_plain_string() -> None:
    class Name(str):
        __slots__ = ()

    assert check_group_name(None) is None
    assert check_group_name("x" * 200) == "x" * 200
    assert type(check_group_name(Name("orders"))) is str


def test_a_message_about_a_long_name_is_short() -> None:
    with pytest.raises(ConfigError) as caught:
        check_group_name("x" * 100_000)
    assert len(str(caught.value)) < 200


def test_known_wrappers_are_names() -> None:
    parts = [part for variable in KNOWN_WRAPPERS.values() for part in variable.split(".")]
    assert parts
    assert all(part.isidentifier() for part in parts)
