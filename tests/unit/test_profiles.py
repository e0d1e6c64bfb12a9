"""The profiles: in which direction each differs from the balanced one."""

from __future__ import annotations

import pytest

from asyncio_pulse import ConfigError, ConfigProfile, TierConfig
from asyncio_pulse.config import InterventionAction

PROMOTION = ["promotion_threshold", "promotion_cpu_threshold_ms", "promotion_slow_poll_threshold"]
LONGER_IS_LATER = ["demotion_good_polls", "demotion_min_duration_ms"]
AGGRESSIVE, BALANCED, PERMISSIVE = (
    profile.config() for profile in (ConfigProfile.AGGRESSIVE, ConfigProfile.BALANCED, ConfigProfile.PERMISSIVE)
)


def test_balanced_is_the_default() -> None:
    assert TierConfig() == BALANCED


@pytest.mark.parametrize("tier", InterventionAction)
def test_aggressive_promotes_sooner_and_demotes_later_and_permissive_the_reverse(tier: InterventionAction) -> None:
    stern, middle, mild = (config.policy_for(tier) for config in (AGGRESSIVE, BALANCED, PERMISSIVE))
    for name in PROMOTION if tier is not InterventionAction.ISOLATE else ():
        assert getattr(stern, name) < getattr(middle, name) < getattr(mild, name)
    for name in LONGER_IS_LATER:
        assert getattr(stern, name) > getattr(middle, name) > getattr(mild, name)
    assert stern.demotion_cpu_threshold_ns < middle.demotion_cpu_threshold_ns < mild.demotion_cpu_threshold_ns
    assert stern.demotion_evaluation_interval == middle.demotion_evaluation_interval


def test_the_same_holds_beside_the_tiers() -> None:
    assert AGGRESSIVE.promotion_share < BALANCED.promotion_share < PERMISSIVE.promotion_share
    assert AGGRESSIVE.idle_decay_ms > BALANCED.idle_decay_ms > PERMISSIVE.idle_decay_ms


def test_custom_is_the_configuration_that_comes_with_it() -> None:
    config = TierConfig(max_groups=9)
    assert ConfigProfile.CUSTOM.config(config) is config
    with pytest.raises(ConfigError, match="stands for your own numbers; pass a TierConfig"):
        ConfigProfile.CUSTOM.config()
    with pytest.raises(ConfigError, match="the profile 'balanced' has numbers of its own; pass the TierConfig itself"):
        ConfigProfile.BALANCED.config(config)
