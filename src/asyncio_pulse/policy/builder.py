"""A builder of tier policies."""

from __future__ import annotations

import dataclasses
from typing import Any

from asyncio_pulse.policy.tier_policy import BALANCED_TIERS, InterventionAction, TierPolicy, check_action

__all__ = ["TierPolicyBuilder"]


class TierPolicyBuilder:
    """Changes some numbers of a tier policy.

        TierPolicyBuilder(InterventionAction.WARN).promotion_violations(4).demotion_good_polls(50).build()

    Units and ranges are those of `TierPolicy`. `build` checks them.

    Args:
        start: The policy to change, or an action, which stands for the tier of the balanced profile.
        name: Name of the tier in reports; None keeps that of `start`.

    Raises:
        ConfigError: There is no such action.
    """

    __slots__ = ("_changes", "_start")

    def __init__(self, start: InterventionAction | TierPolicy, *, name: str | None = None) -> None:
        self._start = start if isinstance(start, TierPolicy) else BALANCED_TIERS[check_action("start", start)]
        self._changes: dict[str, Any] = {} if name is None else {"name": name}

    def promotion_violations(self, count: int) -> TierPolicyBuilder:
        """Set `promotion_threshold`."""
        return self._set("promotion_threshold", count)

    def promotion_cpu_ms(self, duration_ms: int) -> TierPolicyBuilder:
        """Set `promotion_cpu_threshold_ms`."""
        return self._set("promotion_cpu_threshold_ms", duration_ms)

    def promotion_slow_polls(self, count: int) -> TierPolicyBuilder:
        """Set `promotion_slow_poll_threshold`."""
        return self._set("promotion_slow_poll_threshold", count)

    def demotion_good_polls(self, count: int) -> TierPolicyBuilder:
        """Set `demotion_good_polls`."""
        return self._set("demotion_good_polls", count)

    def demotion_min_duration_ms(self, duration_ms: int) -> TierPolicyBuilder:
        """Set `demotion_min_duration_ms`."""
        return self._set("demotion_min_duration_ms", duration_ms)

    def demotion_cpu_ns(self, duration_ns: int) -> TierPolicyBuilder:
        """Set `demotion_cpu_threshold_ns`."""
        return self._set("demotion_cpu_threshold_ns", duration_ns)

    def demotion_evaluation_interval(self, polls: int) -> TierPolicyBuilder:
        """Set `demotion_evaluation_interval`."""
        return self._set("demotion_evaluation_interval", polls)

    def build(self) -> TierPolicy:
        """Return the policy.

        Raises:
            ConfigError: Lists every number that is of the wrong type or out of its range.
        """
        return dataclasses.replace(self._start, **self._changes)

    def _set(self, name: str, value: int) -> TierPolicyBuilder:
        self._changes[name] = value
        return self
