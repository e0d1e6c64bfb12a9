"""How often the log repeats itself: at once about anything new, then in intervals that grow while it goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable

__all__ = ["LONGEST_INTERVAL_NS", "LogLimit"]

LONGEST_INTERVAL_NS = 3_600 * 1_000_000_000
"""Once an hour something that never ends is said again. What did not happen for as long is new the next time."""

MOST_REMEMBERED = 1_024
"""Things that are told apart; all further ones are limited as if they were one."""


@dataclasses.dataclass(slots=True)
class _Known:
    said_ns: int
    seen_ns: int
    interval_ns: int
    untold: int = 0


@dataclasses.dataclass(slots=True)
class LogLimit:
    """Decides whether something is logged again. Not for several threads at once."""

    _known: dict[Hashable, _Known] = dataclasses.field(default_factory=dict)

    def admit(self, key: Hashable, interval_ns: int, now_ns: int) -> int | None:
        """Note that something happened, and decide whether to log it.

        Args:
            key: What it is.
            interval_ns: The least time between the first two records about it; it doubles with each further one. 0 for no
                limit at all.
            now_ns: The time, nanoseconds.

        Returns:
            How often it happened unlogged since the last record, if it is to be logged; None otherwise.
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
