"""TierPolicy and its builder: bounds, the deprecated short form, the balanced tiers."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from asyncio_pulse import ConfigError, TierPolicy
from asyncio_pulse.config import InterventionAction, TierPolicyBuilder
from asyncio_pulse.policy.tier_policy import BALANCED_TIERS, TIER_SETTINGS

MONITOR, WARN, YIELD, ISOLATE = InterventionAction
NUMBERS = tuple(TIER_SETTINGS[MONITOR])
SETTER_OF = {
    "promotion_threshold": TierPolicyBuilder.promotion_violations,
    "promotion_cpu_threshold_ms": TierPolicyBuilder.promotion_cpu_ms,
    "promotion_slow_poll_threshold": TierPolicyBuilder.promotion_slow_polls,
    "demotion_good_polls": TierPolicyBuilder.demotion_good_polls,
    "demotion_min_duration_ms": TierPolicyBuilder.demotion_min_duration_ms,
    "demotion_cpu_threshold_ns": TierPolicyBuilder.demotion_cpu_ns,
    "demotion_evaluation_interval": TierPolicyBuilder.demotion_evaluation_interval,
}


def test_the_balanced_tiers_are_those_of_the_specification() -> None:
    assert [dataclasses.astuple(tier) for tier in BALANCED_TIERS] == [
        ("Monitor", MONITOR, 5, 50, 10, 100, 5_000, 100_000, 20),
        ("Warn", WARN, 3, 25, 5, 75, 3_000, 200_000, 15),
        ("Yield", YIELD, 2, 15, 3, 50, 2_000, 500_000, 10),
        ("Isolate", ISOLATE, 0, 0, 0, 25, 10_000, 1_000_000, 5),
    ]


@pytest.mark.parametrize("action", InterventionAction)
@pytest.mark.parametrize("name", NUMBERS)
def test_the_bounds_of_each_number(name: str, action: InterventionAction) -> None:
    bounds = TIER_SETTINGS[action][name]
    tier = BALANCED_TIERS[action]
    for value in (bounds.lowest, bounds.highest):
        assert getattr(SETTER_OF[name](TierPolicyBuilder(tier), value).build(), name) == value
    for wrong in (bounds.lowest - 1, bounds.highest + 1, "5", 5.0, True):
        with pytest.raises(ConfigError) as caught:
            dataclasses.replace(tier, **{name: wrong})
        (fault,) = caught.value.faults
        assert (fault.field, fault.value) == (f"tiers.{action.name.lower()}.{name}", wrong)


@pytest.mark.parametrize("name", NUMBERS)
def test_only_what_leads_above_the_last_tier_may_be_0_there(name: str) -> None:
    lowest = {action: TIER_SETTINGS[action][name].lowest for action in InterventionAction}
    assert (lowest[ISOLATE] < lowest[YIELD]) == name.startswith("promotion_")
    assert lowest[MONITOR] == lowest[WARN] == lowest[YIELD]


def test_the_setters_of_the_builder_are_all_tested() -> None:
    assert set(SETTER_OF) == set(NUMBERS)


@pytest.mark.parametrize("name", ["", "x" * 51, 5, None, "\ud800"], ids=ascii)
def test_a_bad_name_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match=r"tiers\.warn\.name must be text of 1 to 50 characters, got"):
        TierPolicy(name, *dataclasses.astuple(BALANCED_TIERS[1])[1:])


@pytest.mark.parametrize("action", [4, -1, "parked", None, True], ids=repr)
def test_a_bad_action_is_refused(action: Any) -> None:
    with pytest.raises(ConfigError, match="action must be one of monitor, warn, yield, isolate, got"):
        TierPolicy("x", action, 3)
    with pytest.raises(ConfigError, match="start must be one of monitor, warn, yield, isolate, got"):
        TierPolicyBuilder(action)


@pytest.mark.parametrize("action", InterventionAction)
def test_numbers_left_out_are_those_of_the_balanced_tier(action: InterventionAction) -> None:
    short = TierPolicy("Mine", action, 7)
    assert short == dataclasses.replace(BALANCED_TIERS[action], name="Mine", promotion_threshold=7)


def test_a_number_out_of_range_is_refused_in_the_short_form_too() -> None:
    with pytest.raises(ConfigError, match=r"tiers\.warn\.promotion_threshold must be"):
        TierPolicy("Warn", WARN, 0)


def test_a_builder_starts_from_a_policy_or_an_action_and_names_every_fault() -> None:
    policy = TierPolicyBuilder(YIELD, name="Park").promotion_violations(9).build()
    assert policy == dataclasses.replace(BALANCED_TIERS[2], name="Park", promotion_threshold=9)
    assert TierPolicyBuilder(policy).build() == policy
    with pytest.raises(ConfigError) as caught:
        TierPolicyBuilder(policy).promotion_violations(0).demotion_cpu_ns(0).build()
    assert [fault.field for fault in caught.value.faults] == [
        "tiers.yield.promotion_threshold",
        "tiers.yield.demotion_cpu_threshold_ns",
    ]
