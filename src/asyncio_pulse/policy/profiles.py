"""Ready-made configurations, each a factor of two from the next.

Only the numbers of the balanced profile were reasoned about (`tier_policy`). One rule derives the others from them. Four
tiers with seven numbers each, tuned apart, would be twenty-eight claims without a measurement.
"""

from __future__ import annotations

import dataclasses
import enum
import math

from asyncio_pulse.errors import ConfigError
from asyncio_pulse.policy.tier_config import TierConfig, TierPolicy

__all__ = ["ConfigProfile"]

BALANCED = TierConfig()


def _tier(policy: TierPolicy, sternness: float) -> TierPolicy:
    return dataclasses.replace(
        policy,
        promotion_threshold=math.ceil(policy.promotion_threshold / sternness),
        promotion_cpu_threshold_ms=math.ceil(policy.promotion_cpu_threshold_ms / sternness),
        promotion_slow_poll_threshold=math.ceil(policy.promotion_slow_poll_threshold / sternness),
        demotion_good_polls=math.ceil(policy.demotion_good_polls * sternness),
        demotion_min_duration_ms=math.ceil(policy.demotion_min_duration_ms * sternness),
        demotion_cpu_threshold_ns=math.ceil(policy.demotion_cpu_threshold_ns / sternness),
    )


def _config(sternness: float) -> TierConfig:
    """Make a variant of the balanced profile that promotes sooner and demotes later by a factor; below 1 the reverse.

    The evaluation interval stays, because it sets how closely the machine looks, not how stern it is.
    """
    return dataclasses.replace(
        BALANCED,
        promotion_share=BALANCED.promotion_share / sternness,
        idle_decay_ms=math.ceil(BALANCED.idle_decay_ms * sternness),
        tier_policies=tuple(_tier(policy, sternness) for policy in BALANCED.tier_policies),
    )


class ConfigProfile(enum.StrEnum):
    """A ready-made configuration, or `CUSTOM` for numbers of your own."""

    AGGRESSIVE = "aggressive"
    """Half of balanced's promotion numbers and share, twice its demotion times.

    For services that feel a single slow poll at once, and where holding an offender too long is the lesser harm.
    """
    BALANCED = "balanced"
    """The defaults: they leave ordinary traffic alone, and contain a task that hogs the loop within a second or two."""
    PERMISSIVE = "permissive"
    """Twice balanced's promotion numbers and share, half its demotion times.

    For batch work and first trials, where only tasks that hog the loop for long should be held, and briefly.
    """
    CUSTOM = "custom"
    """Numbers of your own; this profile needs a TierConfig."""

    def config(self, custom: TierConfig | None = None) -> TierConfig:
        """Return the profile's configuration.

        Args:
            custom: The configuration that `CUSTOM` stands for.

        Raises:
            ConfigError: CUSTOM without a configuration, or another profile with one.
        """
        if (self is ConfigProfile.CUSTOM) != (custom is not None):
            raise ConfigError(
                f"the profile {self.value!r} has numbers of its own; pass the TierConfig itself"
                if custom is not None
                else "the profile 'custom' stands for your own numbers; pass a TierConfig with them instead"
            )
        return custom if custom is not None else _config(_STERNNESS[self])


_STERNNESS = {ConfigProfile.AGGRESSIVE: 2.0, ConfigProfile.BALANCED: 1.0, ConfigProfile.PERMISSIVE: 0.5}
