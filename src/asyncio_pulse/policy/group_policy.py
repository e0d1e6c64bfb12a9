"""What holds for groups by their name."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from asyncio_pulse.errors import ConfigFault
from asyncio_pulse.policy.group_names import MAX_GROUP_NAME_LENGTH
from asyncio_pulse.policy.priority import TaskPriority
from asyncio_pulse.policy.ranges import (
    Choice,
    Flag,
    Named,
    Setting,
    Text,
    must_be,
    refuse,
    setting_faults,
    unknown_faults,
)
from asyncio_pulse.policy.tier_policy import InterventionAction

__all__ = [
    "GROUP_SETTINGS",
    "NO_POLICY",
    "PREEMPT_MODES",
    "GroupPolicies",
    "GroupPolicy",
    "Preempt",
    "group_path",
    "groups_faults",
    "read_groups",
]

Preempt: TypeAlias = Literal["off", "await", "anywhere"]
"""Where a task may be suspended without its doing: nowhere, where it starts to await, anywhere in its Python code."""

PREEMPT_MODES: tuple[Preempt, ...] = ("off", "await", "anywhere")
"""By the numbers that the core has for them."""

GROUP_SETTINGS: Mapping[str, Setting] = {
    "max_tier": Named(InterventionAction.YIELD),
    "preempt": Choice("await", PREEMPT_MODES),
    "priority": Named(TaskPriority.NORMAL),
    "exempt": Flag(False),
}

_PATTERN = Text("", MAX_GROUP_NAME_LENGTH)


@dataclasses.dataclass(frozen=True, slots=True)
class GroupPolicy:
    """What holds for the explicit groups whose name matches a pattern; None: what would hold without it.

    Args:
        max_tier: The highest tier that they may come to, in place of the configuration's, also where that is lower: the
            nearest wins. A task's own `max_tier` goes before it.
        preempt: Where their tasks may be suspended without their doing: "off", "await" or "anywhere".
        priority: The priority of their tasks.
        exempt: They are measured but never judged: they stay at Monitor.

    Raises:
        ConfigError: Lists every value that is not allowed.
    """

    max_tier: InterventionAction | None = None
    preempt: Preempt | None = None
    priority: TaskPriority | None = None
    exempt: bool = False

    def __post_init__(self) -> None:
        """Refuse what is not allowed."""
        values = {name: getattr(self, name) for name in GROUP_SETTINGS}
        given = {name: value for name, value in values.items() if value is not None or name == "exempt"}
        refuse("group policy", setting_faults(GROUP_SETTINGS, given))
        for name, value in given.items():
            object.__setattr__(self, name, GROUP_SETTINGS[name].normal(value))


NO_POLICY = GroupPolicy()
"""Changes nothing."""


class GroupPolicies(Mapping[str, GroupPolicy]):
    """Patterns and their policies, in order: the first that matches a name holds. Immutable and hashable.

    Unlike dictionaries, two of them are equal only if their order is too, because it decides.

    Args:
        policies: The policies by pattern: `*` and `?` stand for any text and any character, `[...]` for one of several.
            Case matters.
    """

    __slots__ = ("_policies",)

    def __init__(self, policies: Mapping[str, GroupPolicy]) -> None:
        self._policies = dict(policies)

    def __getitem__(self, pattern: str) -> GroupPolicy:
        return self._policies[pattern]

    def __iter__(self) -> Iterator[str]:
        return iter(self._policies)

    def __len__(self) -> int:
        return len(self._policies)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and tuple(self.items()) == tuple(other.items())

    def __hash__(self) -> int:
        return hash(tuple(self.items()))

    def __repr__(self) -> str:
        return repr(self._policies)

    def matching(self, name: str) -> GroupPolicy | None:
        """Return the policy of the first pattern that a name matches, or None."""
        return next((policy for pattern, policy in self.items() if fnmatch.fnmatchcase(name, pattern)), None)


def group_path(pattern: object) -> str:
    """Path of a group's settings in messages, quoted as files have it."""
    return "groups." + json.dumps(f"{pattern!s:.{MAX_GROUP_NAME_LENGTH}}", ensure_ascii=False)


def groups_faults(groups: object) -> Iterator[ConfigFault]:
    """Yield what is wrong with `TierConfig.groups` as given."""
    if not isinstance(groups, Mapping):
        yield must_be("groups", "a mapping of patterns to GroupPolicy", groups)
        return
    for pattern, policy in groups.items():
        if not _PATTERN.accepts(pattern):
            yield must_be("groups", f"by patterns, {_PATTERN.allowed}", pattern)
        if not isinstance(policy, GroupPolicy):
            yield must_be(group_path(pattern), "a GroupPolicy", policy)


def read_groups(tables: object, faults: list[ConfigFault]) -> dict[str, GroupPolicy]:
    """Return the policies that tables describe, without those at fault.

    Args:
        tables: Tables of values by name, by pattern, such as the TOML table `[groups]`; policies may stand for tables.
        faults: Gets every unknown name and every value at fault.
    """
    if not isinstance(tables, Mapping):
        faults.append(must_be("groups", "a table of tables by pattern", tables))
        return {}
    policies = {}
    for pattern, table in tables.items():
        path = group_path(pattern)
        if isinstance(table, GroupPolicy):
            policies[pattern] = table
        elif not isinstance(table, Mapping):
            faults.append(must_be(path, "a table", table))
        else:
            found = [
                *unknown_faults(GROUP_SETTINGS, table, path=f"{path}."),
                *setting_faults(GROUP_SETTINGS, table, path=f"{path}."),
            ]
            faults.extend(found)
            if not found:
                policies[pattern] = GroupPolicy(**dict[str, Any](table))
    return policies
