"""The audit ring: the latest changes of tier.

Requests are many tasks that share a name and do the same; each with an entry of its own would push everything else out
within seconds. So changes of tasks of one name, group and step are one entry: the newest, and how many it stands for.
"""

from __future__ import annotations

import dataclasses

from asyncio_pulse.metrics.model import TierChange

__all__ = ["AuditRing"]


class AuditRing:
    """The latest changes, oldest first. Not for several threads at once.

    Args:
        size: How many entries it holds; then the oldest goes.
    """

    def __init__(self, size: int) -> None:
        """Begin empty."""
        self._size = size
        self._entries: dict[object, TierChange] = {}

    def append(self, change: TierChange) -> None:
        """Enter a change."""
        # A group is one account, and its changes are its history.
        key = (change.name, change.group, change.before, change.after) if change.account == "task" else object()
        known = self._entries.pop(key, None)
        self._entries[key] = change if known is None else dataclasses.replace(change, count=known.count + 1)
        self._trim()

    def resize(self, size: int) -> None:
        """Hold another number of entries, the latest."""
        self._size = size
        self._trim()

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def changes(self) -> tuple[TierChange, ...]:
        """Give the entries, oldest first."""
        return tuple(self._entries.values())

    def _trim(self) -> None:
        while len(self._entries) > self._size:
            del self._entries[next(iter(self._entries))]
