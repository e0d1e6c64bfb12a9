"""Valid settings that change nothing are named, and no others."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncio_pulse import GroupPolicy, TierConfig
from asyncio_pulse.config import InterventionAction
from asyncio_pulse.policy.without_effect import without_effect


def found(**settings: object) -> list[str]:
    return list(without_effect(TierConfig(**settings), {"asyncio"}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "policy",
    [
        GroupPolicy(preempt="anywhere", max_tier=InterventionAction.WARN),
        GroupPolicy(preempt="await", exempt=True),
    ],
)
def test_groups_below_yield_cannot_be_preempted(policy: GroupPolicy) -> None:
    [sentence] = found(groups={"jobs": policy})
    assert sentence.startswith('groups."jobs" opts in nothing')


def test_the_highest_tier_of_all_groups_counts_unless_a_group_has_its_own() -> None:
    groups = {
        "a": GroupPolicy(preempt="anywhere"),
        "b": GroupPolicy(preempt="anywhere", max_tier=InterventionAction.YIELD),
    }
    assert [sentence[:10] for sentence in found(max_tier=InterventionAction.WARN, groups=groups)] == ['groups."a"']


def test_packages_that_are_never_preempted_are_named() -> None:
    assert found(preemptible_modules=("asyncio", "mine")) == ['preemptible_modules: "asyncio" is never preempted']


@pytest.mark.parametrize("preempt", ["waits", "off", None])
def test_settings_with_an_effect_are_not_named(preempt: str | None) -> None:
    assert (
        found(groups={"GET /x": GroupPolicy(preempt=preempt, max_tier=InterventionAction.WARN), "GET *": GroupPolicy()})
        == []
    )  # type: ignore[arg-type]


pattern = st.text("ab*?[]", min_size=1, max_size=5)


@given(earlier=pattern, later=pattern, names=st.lists(st.text("ab*?[]", min_size=1, max_size=6), max_size=30))
def test_a_pattern_is_said_to_be_unused_only_if_no_name_reaches_it(earlier: str, later: str, names: list[str]) -> None:
    if earlier != later and found(groups={earlier: GroupPolicy(), later: GroupPolicy()}):
        assert all(fnmatch.fnmatchcase(name, earlier) for name in names if fnmatch.fnmatchcase(name, later))
