"""TierConfig: defaults, bounds, copies, what is deprecated."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from asyncio_pulse import ConfigError, TaskPriority, TierConfig
from asyncio_pulse.lowlevel import TaskBudget
from asyncio_pulse.policy.ranges import Range
from asyncio_pulse.policy.tier_config import SETTINGS, GroupPolicy, InterventionAction, TierPolicyBuilder
from asyncio_pulse.policy.tier_policy import BALANCED_TIERS

RANGES = {name: setting for name, setting in SETTINGS.items() if isinstance(setting, Range)}
WARN = InterventionAction.WARN


def test_the_defaults_are_those_of_the_specification() -> None:
    scalars = {name: getattr(TierConfig(), name) for name in SETTINGS}
    assert scalars == {
        "latency_target_ms": 20,
        "poll_budget_us": 2000,
        "operation_budget": 128,
        "slow_poll_threshold_ms": 10,
        "stall_threshold_ms": 100,
        "turn_limit_ms": 20,
        "max_groups": 1024,
        "cpu_sample_interval_us": 200,
        "mode": "act",
        "max_tier": InterventionAction.YIELD,
        "rollout_ratio": 1.0,
        "promotion_window_ms": 1000,
        "promotion_share": 0.10,
        "promotion_hysteresis_ms": 100,
        "demotion_hysteresis_ms": 500,
        "violation_rate_threshold": 10,
        "cooldown_duration_ms": 1000,
        "idle_decay_ms": 10_000,
        "audit_size": 1024,
        "warn_interval_ms": 1000,
        "freeze_min_groups": 4,
        "park_breaker_ms": 5000,
        "preempt": "waits",
        "preemptible_modules": (),
        "preempt_through_c": "off",
    }
    assert TierConfig().tier_policies == BALANCED_TIERS
    assert TierConfig().groups == {}


def test_every_field_but_the_tables_is_a_setting() -> None:
    assert {field.name for field in dataclasses.fields(TierConfig)} == {
        *SETTINGS,
        "tier_policies",
        "groups",
        "slow_queue",
    }


@pytest.mark.parametrize("name", RANGES)
def test_the_bounds_of_each_number(name: str) -> None:
    bounds = RANGES[name]
    short = [TierPolicyBuilder(tier).demotion_min_duration_ms(3_600_000).build() for tier in InterventionAction]
    others: dict[str, Any] = {"idle_decay_ms": 3_600_000, "promotion_window_ms": 10, "tier_policies": short}
    for value in (bounds.lowest, bounds.highest):
        assert getattr(TierConfig(**{**others, name: value}), name) == value
    for value in (bounds.lowest - 1, bounds.highest + 1):
        with pytest.raises(ConfigError) as caught:
            TierConfig(**{**others, name: value})
        (fault,) = caught.value.faults
        assert (fault.field, fault.value) == (name, value)
        assert fault.allowed == f"a whole number from {bounds.lowest} to {bounds.highest}"
        assert str(caught.value) == f"invalid configuration: {name} must be {fault.allowed}, got {value}"


@pytest.mark.parametrize("name", ["promotion_share", "rollout_ratio"])
@pytest.mark.parametrize("value", [-0.001, 1.001, float("nan"), True, "0.5", None], ids=repr)
def test_a_share_is_from_0_to_1(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be a number from 0 to 1, got "):
        TierConfig(**{name: value})


def test_a_share_may_be_given_as_a_whole_number() -> None:
    config = TierConfig(promotion_share=0, rollout_ratio=1)
    assert isinstance(config.promotion_share, float)
    assert (config.promotion_share, config.rollout_ratio) == (0.0, 1.0)


@pytest.mark.parametrize("value", ["5", 5.0, None, True, [5]], ids=repr)
def test_only_whole_numbers_are_numbers(value: Any) -> None:
    with pytest.raises(ConfigError, match="max_groups must be a whole number from 8 to 65536, got "):
        TierConfig(max_groups=value)


@pytest.mark.parametrize("value", ["", "ACT", "acting", 1, None], ids=repr)
def test_only_the_three_modes_are_modes(value: Any) -> None:
    with pytest.raises(ConfigError, match="mode must be one of off, observe, act, got "):
        TierConfig(mode=value)


@pytest.mark.parametrize("value", [InterventionAction.ISOLATE, 3, "isolate", "Isolate"], ids=repr)
def test_a_tier_is_given_by_itself_its_number_or_its_name(value: Any) -> None:
    assert TierConfig(max_tier=value).max_tier is InterventionAction.ISOLATE


@pytest.mark.parametrize("value", [4, -1, "parked", True, None, 1.0], ids=repr)
def test_anything_else_is_no_tier(value: Any) -> None:
    with pytest.raises(ConfigError, match="max_tier must be one of monitor, warn, yield, isolate, got "):
        TierConfig(max_tier=value)


def test_faults_of_both_kinds_are_named_at_once_by_the_constructor_too() -> None:
    with pytest.raises(ConfigError) as caught:
        TierConfig(max_groups=1, idle_decay_ms=500, tier_policies=(), groups={"a": None})  # type: ignore[dict-item]
    fields = [fault.field for fault in caught.value.faults]
    assert fields == ["max_groups", "idle_decay_ms", "tier_policies", 'groups."a"']


@pytest.mark.parametrize(
    "tiers",
    [BALANCED_TIERS[:3], BALANCED_TIERS[::-1], (*BALANCED_TIERS, BALANCED_TIERS[0]), 5, [1, 2, 3, 4]],
    ids=["three", "reversed", "five", "number", "numbers"],
)
def test_there_are_four_tiers_in_order(tiers: Any) -> None:
    with pytest.raises(ConfigError, match="tier_policies must be four TierPolicy, with the actions MONITOR, WARN"):
        TierConfig(tier_policies=tiers)


def test_a_configuration_is_a_value() -> None:
    config = TierConfig(max_groups=9, groups={"a*": GroupPolicy(priority=TaskPriority.LOW)})
    assert len({config, dataclasses.replace(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))}) == 1


def test_the_budget_is_that_of_a_priority() -> None:
    config = TierConfig(poll_budget_us=1000, operation_budget=10)
    assert config.budget == TaskBudget(1000, 10)
    assert config.budget_for(TaskPriority.CRITICAL) == TaskBudget(4000, 40)


def test_one_tier_is_replaced_in_a_checked_copy() -> None:
    policy = TierPolicyBuilder(WARN).promotion_violations(4).build()
    config = TierConfig().with_tier_policy(1, policy)
    assert config.policy_for(1) is policy
    assert config.policy_for(InterventionAction.YIELD) == BALANCED_TIERS[2]
    assert TierConfig().policy_for(1) == BALANCED_TIERS[1]
    with pytest.raises(ConfigError, match="tier_policies must be four"):
        TierConfig().with_tier_policy(2, policy)
    with pytest.raises(ConfigError, match=r"tiers\.warn\.promotion_threshold must be at most"):
        TierConfig().with_tier_policy(1, dataclasses.replace(policy, promotion_threshold=6))


@pytest.mark.parametrize("tier", [-1, 4, "parked", True, None], ids=repr)
def test_there_are_no_other_tiers(tier: Any) -> None:
    with pytest.raises(ConfigError, match="tier must be one of monitor, warn, yield, isolate, got "):
        TierConfig().policy_for(tier)
    with pytest.raises(ConfigError, match="tier must be one of monitor, warn, yield, isolate, got "):
        TierConfig().with_tier_policy(tier, BALANCED_TIERS[0])
