"""Configurations as tables: every fault is named by its path, what contradicts itself is one."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from asyncio_pulse import ConfigError, ConfigProfile, GroupPolicy, TaskPriority, TierConfig
from asyncio_pulse.config import InterventionAction, TierPolicyBuilder
from asyncio_pulse.policy.tables import config_from_table, flatten

WARN = InterventionAction.WARN


def fields_at_fault(mapping: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config_from_table(mapping)
    return [fault.field for fault in caught.value.faults]


def test_every_fault_is_named_at_once() -> None:
    mapping = {
        "max_groups": 1,
        "poll_budget_us": "x",
        "colour": "red",
        "tiers": {"warn": {"demotion_good_polls": 0, "name": ""}, "yield": 5, "parked": {}},
        "groups": {"a": {"max_tier": "top"}, "b": 5, "c": {"exempted": True}},
    }
    assert sorted(fields_at_fault(mapping)) == [
        "colour",
        'groups."a".max_tier',
        'groups."b"',
        'groups."c".exempted',
        "max_groups",
        "poll_budget_us",
        "tiers.parked",
        "tiers.warn.demotion_good_polls",
        "tiers.warn.name",
        "tiers.yield",
    ]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"pol_budget_us": 1}, r"pol_budget_us is not a setting \(did you mean poll_budget_us\?\)"),
        ({"zzz": 1}, r"zzz is not a setting \(known: profile, latency_target_ms, .*, tiers, groups, slow_queue\)"),
        ({"promotion_threshold": 1}, r"did you mean tiers\.<tier>\.promotion_threshold\?"),
        ({"tiers": {"wran": {}}}, r"tiers\.wran is not a setting \(did you mean tiers\.warn\?\)"),
        (
            {"tiers": {"warn": {"action": "yield", "promotion_treshold": 1}}},
            r"did you mean tiers\.warn\.promotion_threshold\?",
        ),
        ({"groups": {"a": {"maxtier": 1}}}, r'groups\."a"\.maxtier is not a setting \(did you mean groups\."a"\.max_t'),
        ({"tiers": 5}, "tiers must be a table of tables by tier, got 5"),
        ({"groups": []}, r"groups must be a table of tables by pattern, got \[\]"),
    ],
    ids=str,
)
def test_a_name_that_is_not_known_gets_the_nearest_one_that_is(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_table(mapping)


@pytest.mark.parametrize(
    ("mapping", "field"),
    [
        ({"tiers": {"warn": {"promotion_threshold": 6}}}, "tiers.warn.promotion_threshold"),
        ({"tiers": {"yield": {"promotion_cpu_threshold_ms": 26}}}, "tiers.yield.promotion_cpu_threshold_ms"),
        ({"tiers": {"yield": {"promotion_slow_poll_threshold": 6}}}, "tiers.yield.promotion_slow_poll_threshold"),
        ({"tiers": {"warn": {"demotion_min_duration_ms": 999}}}, "tiers.warn.demotion_min_duration_ms"),
        ({"tiers": {"isolate": {"demotion_min_duration_ms": 999}}}, "tiers.isolate.demotion_min_duration_ms"),
        ({"promotion_window_ms": 2001}, "tiers.yield.demotion_min_duration_ms"),
        ({"idle_decay_ms": 999}, "idle_decay_ms"),
    ],
    ids=str,
)
def test_what_contradicts_the_rest_is_named(mapping: dict[str, Any], field: str) -> None:
    assert fields_at_fault(mapping) == [field]


@pytest.mark.parametrize(
    "mapping",
    [
        {"tiers": {"warn": {"promotion_threshold": 5}}},
        {"tiers": {"isolate": {"promotion_threshold": 100}}},
        {"tiers": {"monitor": {"demotion_min_duration_ms": 0}}},
        {"promotion_window_ms": 2000},
        {"idle_decay_ms": 1000},
    ],
    ids=str,
)
def test_what_is_just_allowed_or_does_not_matter_is_no_contradiction(mapping: dict[str, Any]) -> None:
    config_from_table(mapping)


@pytest.mark.parametrize(
    ("mapping", "field"),
    [
        ({"promotion_window_ms": 600_001}, "promotion_window_ms"),
        ({"idle_decay_ms": 50}, "idle_decay_ms"),
        ({"tiers": {"monitor": {"promotion_threshold": 0}}}, "tiers.monitor.promotion_threshold"),
        ({"tiers": {"warn": {"demotion_min_duration_ms": -1}}}, "tiers.warn.demotion_min_duration_ms"),
    ],
    ids=str,
)
def test_a_value_at_fault_does_not_also_contradict(mapping: dict[str, Any], field: str) -> None:
    assert fields_at_fault(mapping) == [field]


def test_a_table_gives_what_it_names_and_the_profile_the_rest() -> None:
    assert config_from_table({"max_groups": 8}) == TierConfig(max_groups=8)
    assert config_from_table({}) == config_from_table({"profile": "balanced"}) == TierConfig()
    aggressive = ConfigProfile.AGGRESSIVE.config()
    table = {"audit_size": 16, "profile": "Aggressive", "tiers": {"warn": {"promotion_threshold": 1}}}
    changed = config_from_table(table)
    policy = TierPolicyBuilder(aggressive.policy_for(WARN)).promotion_violations(1).build()
    assert changed == dataclasses.replace(aggressive.with_tier_policy(WARN, policy), audit_size=16)


def test_groups_are_in_the_order_of_the_table() -> None:
    table = {"b*": {"max_tier": "warn", "priority": "low"}, "*": {"preempt": "off"}, "a": {"exempt": True}}
    assert tuple(config_from_table({"groups": table}).groups.items()) == (
        ("b*", GroupPolicy(max_tier=WARN, priority=TaskPriority.LOW)),
        ("*", GroupPolicy(preempt="off")),
        ("a", GroupPolicy(exempt=True)),
    )


@pytest.mark.parametrize("name", ["custom", "gentle", "", 5])
def test_a_profile_of_a_table_is_a_ready_made_one(name: object) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from_table({"profile": name, "max_groups": 1})
    profile, groups = caught.value.faults
    assert (profile.field, profile.value, profile.allowed) == (
        "profile",
        name,
        "one of aggressive, balanced, permissive",
    )
    assert groups.field == "max_groups"


def test_a_flat_table_has_the_paths_of_the_messages() -> None:
    table = {"mode": "act", "tiers": {"warn": {"name": "x"}}, "groups": {'a"b\n': {"exempt": True}}}
    assert list(flatten(table)) == [("mode", "act"), ("tiers.warn.name", "x"), ('groups."a\\"b\\n".exempt', True)]
