"""Limits repeated log records: new events are logged at once, repeated ones at growing intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable

__all__ = ["LONGEST_INTERVAL_NS", "LogLimit"]

LONGEST_INTERVAL_NS = 3_600 * 1_000_000_000
"""An event that never ends is logged once an hour. An event that was absent for an hour counts as new."""

MOST_REMEMBERED = 1_024
"""Maximum number of keys. All further keys share one limit."""


@dataclasses.dataclass(slots=True)
class _Known:
    said_ns: int
    seen_ns: int
    interval_ns: int
    untold: int = 0


@dataclasses.dataclass(slots=True)
class LogLimit:
    """Decides whether an event is logged again. Not thread-safe."""

    _known: dict[Hashable, _Known] = dataclasses.field(default_factory=dict)

    def admit(self, key: Hashable, interval_ns: int, now_ns: int) -> int | None:
        """Record an event, and decide whether to log it.

        Args:
            key: Identity of the event.
            interval_ns: Least time between the first two records about it, nanoseconds. It doubles with each further
                record. 0 removes the limit.
            now_ns: The time, nanoseconds.

        Returns:
            The number of unlogged events since the last record if this one should be logged, else None.
        """
        if interval_ns == 0:
            return 0
        known = self._known.get(key)
        if known is None:
            key = self._room_for(key, now_ns)
            known = self._known.get(key)
        if known is None or now_ns - known.seen_ns >= LONGEST_INTERVAL_NS:
            self._known[key] = _Known(now_ns, now_ns, interval_ns)
            return 0
        known.seen_ns = now_ns
        if now_ns - known.said_ns < known.interval_ns:
            known.untold += 1
            return None
        untold, known.untold = known.untold, 0
        known.said_ns = now_ns
        known.interval_ns = min(2 * known.interval_ns, LONGEST_INTERVAL_NS)
        return untold

    def _room_for(self, key: Hashable, now_ns: int) -> Hashable:
        if len(self._known) >= MOST_REMEMBERED:
            recent_ns = now_ns - LONGEST_INTERVAL_NS
            self._known = {each: known for each, known in self._known.items() if known.seen_ns > recent_ns}
        return key if len(self._known) < MOST_REMEMBERED else None
