"""Configurations as tables of plain values, the form used in files."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping
from typing import Any

from asyncio_pulse.errors import ConfigError, ConfigFault
from asyncio_pulse.policy.group_policy import group_path, groups_faults, read_groups
from asyncio_pulse.policy.profiles import ConfigProfile
from asyncio_pulse.policy.ranges import must_be, refuse, setting_faults, unknown_faults
from asyncio_pulse.policy.slow_queue import SETTINGS as SLOW_QUEUE_SETTINGS
from asyncio_pulse.policy.tier_config import SETTINGS, TierConfig, config_faults
from asyncio_pulse.policy.tier_policy import TIER_SETTINGS, InterventionAction, read_tiers

__all__ = ["PROFILES", "config_from_table", "config_to_table", "flatten", "profile_named"]

PROFILES = tuple(profile.value for profile in ConfigProfile if profile is not ConfigProfile.CUSTOM)


def profile_named(field: str, name: object) -> ConfigProfile:
    """Return the ready-made profile with a name; case does not matter.

    Args:
        field: Where the name was given, for the message.
        name: The name.

    Raises:
        ConfigError: There is no such profile. `custom` is not one, because it needs numbers.
    """
    if not isinstance(name, str) or name.lower() not in PROFILES:
        refuse("configuration", [must_be(field, "one of " + ", ".join(PROFILES), name)])
    return ConfigProfile(str(name).lower())


def config_from_table(table: Mapping[str, Any]) -> TierConfig:
    """Build a configuration from a table as found in a file.

    Args:
        table: Values by the names of `TierConfig`, with three differences: `tiers` holds a table for each changed tier, by
            the name of its action; `groups` holds a table for each pattern; `profile` names the profile that fills the
            rest.

    Raises:
        ConfigError: Lists every unknown name and every faulty value.
    """
    faults: list[ConfigFault] = []
    base = _base(table, faults)
    elsewhere = {name: f"tiers.<tier>.{name}" for name in TIER_SETTINGS[InterventionAction.MONITOR]}
    faults += unknown_faults(["profile", *SETTINGS, "tiers", "groups", "slow_queue"], table, elsewhere=elsewhere)
    given = {name: table[name] for name in SETTINGS if name in table}
    tiers = read_tiers(base.tier_policies, table.get("tiers", {}), faults)
    groups = read_groups(table.get("groups", {}), faults)
    faults += groups_faults(groups)
    slow_queue = _read_slow_queue(table.get("slow_queue", {}), faults)
    faults += config_faults({name: getattr(base, name) for name in SETTINGS} | given, tiers)
    refuse("configuration", faults)
    sound = tuple(tier for tier in tiers if tier is not None)  # all of them, because no fault was found
    return dataclasses.replace(
        base, **given, tier_policies=sound, groups=groups, slow_queue=dataclasses.replace(base.slow_queue, **slow_queue)
    )


def _read_slow_queue(table: object, faults: list[ConfigFault]) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        faults.append(must_be("slow_queue", "a table", table))
        return {}
    moved = {"turn_budget_ms": "turn_limit_ms"}
    faults += unknown_faults(SLOW_QUEUE_SETTINGS, table, path="slow_queue.", elsewhere=moved)
    faults += setting_faults(SLOW_QUEUE_SETTINGS, table, path="slow_queue.")
    return dict(table)


def _base(table: Mapping[str, Any], faults: list[ConfigFault]) -> TierConfig:
    if "profile" in table:
        try:
            return profile_named("profile", table["profile"]).config()
        except ConfigError as error:
            faults += error.faults
    return TierConfig()


def config_to_table(config: TierConfig) -> dict[str, Any]:
    """Return a table that names every value. `config_from_table` makes an equal configuration from it."""
    table: dict[str, Any] = {name: _plain(getattr(config, name)) for name in SETTINGS}
    table["tiers"] = {tier.action.name.lower(): _fields(tier) for tier in config.tier_policies}
    for tier in table["tiers"].values():
        del tier["action"]
    table["groups"] = {pattern: _fields(policy) for pattern, policy in config.groups.items()}
    table["slow_queue"] = _fields(config.slow_queue)
    return table


def flatten(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield path and value of each setting of a well-formed table, with the paths used in messages."""
    for name, value in table.items():
        if name == "tiers":
            for tier, numbers in value.items():
                yield from ((f"tiers.{tier}.{field}", number) for field, number in numbers.items())
        elif name == "groups":
            for pattern, policy in value.items():
                yield from ((f"{group_path(pattern)}.{field}", item) for field, item in policy.items())
        elif name == "slow_queue":
            yield from ((f"slow_queue.{field}", item) for field, item in value.items())
        else:
            yield name, value


def _fields(record: Any) -> dict[str, Any]:
    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    return {name: _plain(value) for name, value in values.items() if value is not None}


def _plain(value: object) -> object:
    if isinstance(value, enum.StrEnum):
        return value.value
    return value.name.lower() if isinstance(value, enum.IntEnum) else value
