"""Names of groups, and which coroutines only wrap another one."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from asyncio_pulse.errors import ConfigError

__all__ = ["KNOWN_WRAPPERS", "MAX_GROUP_NAME_LENGTH", "bounded_name", "check_group_name"]

MAX_GROUP_NAME_LENGTH = 200
"""Long enough for a method and a route template, short enough that a report stays readable."""

KNOWN_WRAPPERS: Mapping[str, str] = {
    # anyio, every task of a task group; before 4.14, and from then on.
    "TaskGroup._run_wrapped_task": "coro",
    "TaskHandle._run_coro": "self._coro",
    # Sentry SDK before 2.20, every task; later versions give the wrapper the wrapped one's name.
    "patch_asyncio.<locals>._sentry_task_factory.<locals>._coro_creating_hub_and_span": "coro",
    "patch_asyncio.<locals>._sentry_task_factory.<locals>._task_with_sentry_span_creation": "coro",
}
"""Qualified name of a wrapping coroutine, and its variable, or an attribute of one, that holds the wrapped one. Without
this every task of such a library would count as one group."""


def bounded_name(name: str) -> str:
    """Give a name of at most 200 characters: the beginning of a longer one, and a checksum of the whole."""
    if len(name) <= MAX_GROUP_NAME_LENGTH:
        return name
    ending = f"~{zlib.crc32(name.encode(errors='surrogatepass')):08x}"
    return name[: MAX_GROUP_NAME_LENGTH - len(ending)] + ending


def check_group_name(group: str | None) -> str | None:
    """Return a usable name of an explicit group.

    Raises:
        ConfigError: It is not a string of 1 to 200 characters.
    """
    if group is None:
        return None
    # Callers that are not type-checked may pass anything.
    if not isinstance(group, str) or not 0 < len(group) <= MAX_GROUP_NAME_LENGTH:  # type: ignore[redundant-expr]
        raise ConfigError(f"group must be a str of 1 to {MAX_GROUP_NAME_LENGTH} characters, got {group!r:.60}")
    # The core compares names as plain strings; a subclass may bring code of its own.
    return str(group)
