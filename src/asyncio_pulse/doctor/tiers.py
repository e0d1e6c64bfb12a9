"""Finds which tiers can act under a configuration, and why others cannot."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

from asyncio_pulse.policy.tier_config import InterventionAction, TierConfig
from asyncio_pulse.runtime.chaos import CHAOS_VARIABLE
from asyncio_pulse.runtime.settings import DERIVED_ORIGIN, TracedConfig

__all__ = ["Ability", "Fact", "configuration_facts", "tier_abilities"]

WHAT_A_TIER_DOES = {
    InterventionAction.MONITOR: "counts",
    InterventionAction.WARN: "logs who offends, and where",
    InterventionAction.YIELD: "lets offenders wait in the slow queue",
    InterventionAction.ISOLATE: "holds them to a small share of the loop, where max_tier says isolate",
}
WHY_NOBODY_ACTS = {
    "off": "mode off measures nothing and does nothing",
    "observe": "mode observe decides and counts, but does not act",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Fact:
    """A fact with its topic and name."""

    topic: str
    name: str
    value: str


@dataclasses.dataclass(frozen=True, slots=True)
class Ability:
    """A feature that is available here or not."""

    name: str
    available: bool
    reason: str
    """Why the feature is unavailable, with advice; or how it works here. May be empty for an available feature."""


def configuration_facts(traced: TracedConfig) -> Iterator[Fact]:
    """Yield the configuration of a program that is run here, and the origins of its values."""
    config = traced.config
    others = sorted({origin for path, origin in traced.origins.items() if origin not in ("default", DERIVED_ORIGIN)})
    yield Fact("configuration", "profile", traced.profile)
    yield Fact("configuration", "what differs", f"from {', '.join(others)}" if others else "nothing")
    for name, value in (
        ("mode", config.mode),
        ("max_tier", config.max_tier.name.lower()),
        ("rollout_ratio", f"{config.rollout_ratio:g}"),
    ):
        yield Fact("configuration", name, f"{value} ({traced.origins[name]})")
    chaos = os.environ.get(CHAOS_VARIABLE)
    if chaos:
        yield Fact("configuration", "chaos", f"{chaos!r} (environment {CHAOS_VARIABLE})")


def tier_abilities(config: TierConfig) -> Iterator[Ability]:
    """Yield for each tier whether it can act."""
    for tier, does in WHAT_A_TIER_DOES.items():
        why_not = _why_not(tier, config)
        yield Ability(f"tier {tier.name.title()}", not why_not, why_not or does)


def _why_not(tier: InterventionAction, config: TierConfig) -> str:
    """Return why a tier cannot act; empty if it can."""
    if tier is InterventionAction.MONITOR and config.mode != "off":
        return ""
    if config.mode == "off" or (config.mode == "observe" and tier >= InterventionAction.YIELD):
        return WHY_NOBODY_ACTS[config.mode]
    if tier is InterventionAction.ISOLATE or tier <= config.max_tier:
        return ""
    return f"max_tier is {config.max_tier.name.lower()}; only groups and tasks with another max_tier of their own go beyond"
