"""One tier of intervention: what it does, and when an account leaves it, upwards or downwards."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asyncio_pulse.errors import ConfigFault
from asyncio_pulse.policy.ranges import Named, Range, Setting, Text, must_be, refuse, setting_faults, unknown_faults

__all__ = ["BALANCED_TIERS", "TIER_SETTINGS", "InterventionAction", "TierPolicy", "check_action", "read_tiers"]


class InterventionAction(enum.IntEnum):
    """What a tier does to its accounts. The value is the number of the tier."""

    MONITOR = 0
    """Count."""
    WARN = 1
    """Also log, with the stack seen during the poll."""
    YIELD = 2
    """Also make the account wait for its bounded share of each turn of the loop."""
    ISOLATE = 3
    """Also hold all accounts of this tier together to a small share of the worker. This is the highest tier."""


# Settings of every tier, with their ranges.
_BOUNDS: Mapping[str, tuple[int, int]] = {
    "promotion_threshold": (1, 1_000_000),
    "promotion_cpu_threshold_ms": (1, 600_000),
    "promotion_slow_poll_threshold": (1, 1_000_000),
    "demotion_good_polls": (1, 1_000_000),
    "demotion_min_duration_ms": (0, 3_600_000),
    "demotion_cpu_threshold_ns": (1_000, 10_000_000_000),
    "demotion_evaluation_interval": (1, 100_000),
}

# Each tier promotes on less than the tier below, because an account at Warn has had its chance.
_BALANCED: Mapping[InterventionAction, tuple[int, ...]] = {
    InterventionAction.MONITOR: (5, 50, 10, 100, 5_000, 100_000, 20),
    InterventionAction.WARN: (3, 25, 5, 75, 3_000, 200_000, 15),
    InterventionAction.YIELD: (2, 15, 3, 50, 2_000, 500_000, 10),
    InterventionAction.ISOLATE: (0, 0, 0, 25, 10_000, 1_000_000, 5),
}


def _range_of(action: InterventionAction, name: str, default: int) -> Range:
    lowest, highest = _BOUNDS[name]
    # Isolate is the last tier and promotes nothing; 0 says so.
    unused = action is InterventionAction.ISOLATE and name.startswith("promotion_")
    return Range(default, 0 if unused else lowest, highest)


TIER_SETTINGS: Mapping[InterventionAction, Mapping[str, Range]] = {
    action: {name: _range_of(action, name, default) for name, default in zip(_BOUNDS, defaults, strict=True)}
    for action, defaults in _BALANCED.items()
}
"""The numbers of each tier: their ranges, and the balanced profile's values as defaults."""

_NAME = Text("", 50)
# Stands for a number that was left out.
_LEFT_OUT: Any = None


def check_action(field: str, value: object) -> InterventionAction:
    """Return an action given as itself, as its number or as its name.

    Args:
        field: Name of the setting, for the message.
        value: The value given.

    Raises:
        ConfigError: There is no such action.
    """
    setting = Named(InterventionAction.MONITOR)
    refuse("tier", setting_faults({field: setting}, {field: value}))
    action: Any = setting.normal(value)
    return InterventionAction(action)


@dataclasses.dataclass(frozen=True, slots=True)
class TierPolicy:
    """One tier. An account is promoted when it reaches one of the promotion numbers within the promotion window.

    The promotion numbers are multiplied by the `TaskPriority.threshold_multiplier` of the account's priority, and are then
    at least 1. Those of the last tier, Isolate, are not used and may be 0.

    Numbers that are left out are those of the balanced profile's tier with the same action.

    Args:
        name: Name of the tier in reports, 1..50 characters.
        action: What the tier does; its value is the tier's number.
        promotion_threshold: Violations, 1..1,000,000.
        promotion_cpu_threshold_ms: CPU time of violations beyond their budget, milliseconds, 1..600,000.
        promotion_slow_poll_threshold: Slow polls, 1..1,000,000. The same multiple of `slow_poll_threshold_ms` spent in slow
            polls counts as well.
        demotion_good_polls: Number of consecutive good polls, up to the last one, that a step down needs, 1..1,000,000.
        demotion_min_duration_ms: Least time at the tier, milliseconds, 0..3,600,000.
        demotion_cpu_threshold_ns: CPU time that a good poll may use, nanoseconds, 1,000..10,000,000,000.
        demotion_evaluation_interval: Number of polls after which a step down is considered, 1..100,000.

    Raises:
        ConfigError: Lists every value that is of the wrong type or out of its range.
    """

    name: str
    action: InterventionAction
    promotion_threshold: int
    promotion_cpu_threshold_ms: int = _LEFT_OUT
    promotion_slow_poll_threshold: int = _LEFT_OUT
    demotion_good_polls: int = _LEFT_OUT
    demotion_min_duration_ms: int = _LEFT_OUT
    demotion_cpu_threshold_ns: int = _LEFT_OUT
    demotion_evaluation_interval: int = _LEFT_OUT

    def __post_init__(self) -> None:
        """Fill in the numbers that were left out, and refuse values out of range."""
        object.__setattr__(self, "action", check_action("action", self.action))
        settings = TIER_SETTINGS[self.action]
        for name in settings:
            if getattr(self, name) is _LEFT_OUT:
                object.__setattr__(self, name, settings[name].default)
        refuse("tier policy", _tier_faults(self.action, _values_of(self)))


def _values_of(policy: TierPolicy) -> dict[str, object]:
    return {field.name: getattr(policy, field.name) for field in dataclasses.fields(policy) if field.name != "action"}


def _tier_faults(action: InterventionAction, values: Mapping[str, object]) -> Iterator[ConfigFault]:
    settings: dict[str, Setting] = {"name": _NAME, **TIER_SETTINGS[action]}
    return setting_faults(settings, values, path=f"tiers.{action.name.lower()}.")


def _read_tier(base: TierPolicy, table: object, faults: list[ConfigFault]) -> TierPolicy | None:
    name = base.action.name.lower()
    if not isinstance(table, Mapping):
        faults.append(must_be(f"tiers.{name}", "a table", table))
        return None
    found = [*unknown_faults(["name", *_BOUNDS], table, path=f"tiers.{name}."), *_tier_faults(base.action, table)]
    faults.extend(found)
    return None if found else dataclasses.replace(base, **dict[str, Any](table))


def read_tiers(base: Sequence[TierPolicy], tables: object, faults: list[ConfigFault]) -> list[TierPolicy | None]:
    """Return tiers with some of their values replaced. None marks a tier whose table is faulty.

    Args:
        base: The tiers.
        tables: One table of values by name for each action, such as the TOML table `[tiers]`.
        faults: Receives every unknown name and every faulty value.
    """
    if not isinstance(tables, Mapping):
        faults.append(must_be("tiers", "a table of tables by tier", tables))
        return list(base)
    by_name = {tier.action.name.lower(): tier for tier in base}
    faults += unknown_faults(by_name, tables, path="tiers.")
    return [_read_tier(tier, tables.get(name, {}), faults) for name, tier in by_name.items()]


BALANCED_TIERS = tuple(
    TierPolicy(action.name.capitalize(), action, *(setting.default for setting in settings.values()))
    for action, settings in TIER_SETTINGS.items()
)
"""The tiers of the balanced profile."""
