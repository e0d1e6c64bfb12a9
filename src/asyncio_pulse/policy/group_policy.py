"""Settings of groups, by patterns of their names."""

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

Preempt: TypeAlias = Literal["off", "waits", "await", "anywhere"]
"""Where a task may be preempted: nowhere, where it awaits a library, where it starts to await, anywhere in its code."""

PREEMPT_MODES: tuple[Preempt, ...] = ("off", "waits", "await", "anywhere")
"""The modes, at the indices that the core uses for them."""

GROUP_SETTINGS: Mapping[str, Setting] = {
    "max_tier": Named(InterventionAction.YIELD),
    "preempt": Choice("await", PREEMPT_MODES),
    "priority": Named(TaskPriority.NORMAL),
    "exempt": Flag(False),
}

_PATTERN = Text("", MAX_GROUP_NAME_LENGTH)


@dataclasses.dataclass(frozen=True, slots=True)
class GroupPolicy:
    """Settings of the explicit groups whose name matches a pattern; None leaves a setting unchanged.

    Args:
        max_tier: Highest tier of these groups. It replaces that of the configuration even if it is lower, because the
            nearest setting wins. A task's own `max_tier` overrides it.
        preempt: Where their tasks may be preempted: "off", "waits", "await" or "anywhere".
        priority: Priority of their tasks.
        exempt: These groups are measured but not judged, and stay at Monitor.

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
"""A policy that changes nothing."""


class GroupPolicies(Mapping[str, GroupPolicy]):
    """Patterns and their policies in order; the first pattern that matches a name applies. Immutable and hashable.

    Unlike dictionaries, two of them are equal only if their order is equal too, because the order decides.

    Args:
        policies: The policies by pattern. `*` matches any text, `?` any character, `[...]` one of several. Case matters.
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
    """Return the path of a group's settings for messages, quoted as in files."""
    return "groups." + json.dumps(f"{pattern!s:.{MAX_GROUP_NAME_LENGTH}}", ensure_ascii=False)


def groups_faults(groups: object) -> Iterator[ConfigFault]:
    """Yield the faults of a value given for `TierConfig.groups`."""
    if not isinstance(groups, Mapping):
        yield must_be("groups", "a mapping of patterns to GroupPolicy", groups)
        return
    for pattern, policy in groups.items():
        if not _PATTERN.accepts(pattern):
            yield must_be("groups", f"by patterns, {_PATTERN.allowed}", pattern)
        if not isinstance(policy, GroupPolicy):
            yield must_be(group_path(pattern), "a GroupPolicy", policy)


def read_groups(tables: object, faults: list[ConfigFault]) -> dict[str, GroupPolicy]:
    """Return the policies that tables describe, without the faulty ones.

    Args:
        tables: One table of values by name for each pattern, such as the TOML table `[groups]`. A `GroupPolicy` may stand
            for a table.
        faults: Receives every unknown name and every faulty value.
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
