"""Settings that are valid, but change nothing."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterator

from asyncio_pulse.policy.group_policy import GroupPolicy, group_path
from asyncio_pulse.policy.tier_config import TierConfig
from asyncio_pulse.policy.tier_policy import InterventionAction

__all__ = ["without_effect"]


def _covers(pattern: str, later: str) -> bool:
    """Whether each name of the later pattern surely matches the pattern, too.

    A pattern whose only wildcard is `*` compares its other characters with those of the later pattern, and never with a
    wildcard of it. Other patterns are not compared.
    """
    return not set("?[") & set(pattern) and "[" not in later and fnmatch.fnmatchcase(later, pattern)


def _highest_tier(policy: GroupPolicy, config: TierConfig) -> InterventionAction:
    if policy.exempt:
        return InterventionAction.MONITOR
    return config.max_tier if policy.max_tier is None else policy.max_tier


def without_effect(config: TierConfig, protected_modules: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each setting that changes nothing.

    Args:
        config: The settings.
        protected_modules: Top-level packages that are never preempted.
    """
    patterns = list(config.groups)
    for position, (pattern, policy) in enumerate(config.groups.items()):
        path = group_path(pattern)
        earlier = next((each for each in patterns[:position] if _covers(each, pattern)), None)
        if earlier is not None:
            yield f'{path} is never used: the first pattern that matches applies, and "{earlier}" comes first'
        elif policy.preempt in ("await", "anywhere") and _highest_tier(policy, config) < InterventionAction.YIELD:
            yield f'{path} opts in nothing: preempt = "{policy.preempt}" acts from Yield on, and max_tier is lower'
    for module in config.preemptible_modules:
        if module in protected_modules:
            yield f'preemptible_modules: "{module}" is never preempted'
