"""The audit ring: the latest changes of tier.

Requests are many tasks with the same name and behaviour. With one entry each they would push everything else out within
seconds. Changes of tasks with the same name, group and step therefore share an entry: the newest change, and a count.
"""

from __future__ import annotations

import dataclasses

from asyncio_pulse.metrics.model import TierChange

__all__ = ["AuditRing"]


class AuditRing:
    """The latest changes, oldest first. Not thread-safe.

    Args:
        size: Maximum number of entries. Beyond it the oldest entry is dropped.
    """

    def __init__(self, size: int) -> None:
        """Start empty."""
        self._size = size
        self._entries: dict[object, TierChange] = {}

    def append(self, change: TierChange) -> None:
        """Add a change."""
        # A group is one account, so each of its changes stays separate.
        key = (change.name, change.group, change.before, change.after) if change.account == "task" else object()
        known = self._entries.pop(key, None)
        self._entries[key] = change if known is None else dataclasses.replace(change, count=known.count + 1)
        self._trim()

    def resize(self, size: int) -> None:
        """Change the maximum number of entries, and keep the latest."""
        self._size = size
        self._trim()

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def changes(self) -> tuple[TierChange, ...]:
        """Return the entries, oldest first."""
        return tuple(self._entries.values())

    def _trim(self) -> None:
        while len(self._entries) > self._size:
            del self._entries[next(iter(self._entries))]
