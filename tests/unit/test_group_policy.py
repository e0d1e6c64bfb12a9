"""GroupPolicy and the table of patterns."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from asyncio_pulse import ConfigError, GroupPolicy, TaskPriority, TierConfig
from asyncio_pulse.config import InterventionAction
from asyncio_pulse.policy.group_policy import GroupPolicies

WARN = InterventionAction.WARN
LOW = GroupPolicy(priority=TaskPriority.LOW)
EXEMPT = GroupPolicy(exempt=True)


def test_a_policy_changes_nothing_by_default() -> None:
    assert GroupPolicy() == GroupPolicy(max_tier=None, preempt=None, priority=None, exempt=False)


@pytest.mark.parametrize(
    ("values", "policy"),
    [
        ({"max_tier": "Warn"}, GroupPolicy(max_tier=WARN)),
        ({"max_tier": 1}, GroupPolicy(max_tier=WARN)),
        ({"priority": "low"}, LOW),
        ({"priority": 3}, LOW),
    ],
    ids=str,
)
def test_members_may_be_given_by_name_and_number(values: dict[str, Any], policy: GroupPolicy) -> None:
    assert GroupPolicy(**values) == policy
    assert repr(GroupPolicy(**values)) == repr(policy)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_tier": 4}, "max_tier must be one of monitor, warn, yield, isolate, got 4"),
        ({"preempt": "always"}, "preempt must be one of off, waits, await, anywhere, got 'always'"),
        ({"priority": "urgent"}, "priority must be one of critical, high, normal, low, got 'urgent'"),
        ({"exempt": 1}, "exempt must be true or false, got 1"),
        ({"exempt": None}, "exempt must be true or false, got None"),
        ({"exempt": 0, "max_tier": True}, "max_tier must be .*, got True; exempt must be .*, got 0"),
    ],
    ids=str,
)
def test_what_is_not_allowed_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"invalid group policy: {message}"):
        GroupPolicy(**values)


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("GET /report", EXEMPT),
        ("GET /report/7", EXEMPT),
        ("GET /reports", EXEMPT),
        ("GET /other", LOW),
        ("get /other", GroupPolicy()),
        ("POST /other", GroupPolicy()),
        ("job 5", GroupPolicy(max_tier=WARN)),
        ("job 55", GroupPolicy()),
    ],
)
def test_the_first_pattern_that_matches_holds(name: str, policy: GroupPolicy) -> None:
    groups = {"GET /report*": EXEMPT, "GET *": LOW, "GET /other": EXEMPT, "job [0-9]": GroupPolicy(max_tier=WARN)}
    assert TierConfig(groups=groups).group_policy(name) == policy


def test_the_table_is_a_value_whose_order_counts() -> None:
    groups = {"a": LOW, "b": EXEMPT}
    table = TierConfig(groups=groups).groups
    groups["c"] = LOW
    assert table == {"a": LOW, "b": EXEMPT}
    assert table != {"b": EXEMPT, "a": LOW}
    assert table != 5
    assert hash(table) == hash(GroupPolicies({"a": LOW, "b": EXEMPT}))
    assert pickle.loads(pickle.dumps(table)) == table
    assert (len(table), table["b"], repr(table)) == (2, EXEMPT, repr({"a": LOW, "b": EXEMPT}))
    with pytest.raises(TypeError):
        table["c"] = LOW  # type: ignore[index]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (5, "groups must be a mapping of patterns to GroupPolicy, got 5"),
        ([("a", LOW)], "groups must be a mapping"),
        ({"": LOW}, "groups must be by patterns, text of 1 to 200 characters, got ''"),
        ({"x" * 201: LOW}, "groups must be by patterns"),
        ({5: LOW}, "groups must be by patterns"),
        ({"\udc80": LOW}, "groups must be by patterns"),
        ({"a": {}}, 'groups."a" must be a GroupPolicy, got {}'),
    ],
    ids=ascii,
)
def test_a_bad_table_is_refused(groups: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TierConfig(groups=groups)


def test_a_message_about_a_long_pattern_is_short() -> None:
    with pytest.raises(ConfigError) as caught:
        TierConfig(groups={"x" * 100_000: None})  # type: ignore[dict-item]
    assert len(str(caught.value)) < 500
