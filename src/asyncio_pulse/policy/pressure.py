"""Pressure: the share of the promotion window in which others waited beyond the latency target, whoever made them wait.

Beyond Warn, accounts go up only under pressure, and one after the other: the one with most CPU beyond its budget is first,
and the next one if others still wait.
"""

from __future__ import annotations

import dataclasses
from collections import deque

__all__ = ["Candidate", "Pressure"]

SAMPLES = 16
"""Number of readings kept for one window."""


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """An account at Warn or above, and what it used of late."""

    kind: str
    name: str
    group: str
    over_budget_ns: int
    """CPU time beyond its budgets within the promotion window, nanoseconds."""
    at_ns: int

    def shares_polls_with(self, other: Candidate) -> bool:
        """Whether one of the two is a task of a group, and the other is that group."""
        return self.kind != other.kind and self.group == other.group


@dataclasses.dataclass(slots=True)
class Pressure:
    """What one loop's others waited, and who is to go up next. Times are nanoseconds of one monotonic clock."""

    readings: deque[tuple[int, int]] = dataclasses.field(default_factory=deque)
    """Times, and the time beyond the target until then: ascending."""
    first: Candidate | None = None
    """The candidate that used most."""
    promoted: tuple[str, int, int] | None = None
    """The group that last went up beyond Warn, when, and the time beyond the target until then."""

    def note(self, late_ns: int, now_ns: int, window_ns: int) -> None:
        """Take a reading of the time beyond the target, since the loop is watched."""
        while len(self.readings) > 1 and self.readings[1][0] <= now_ns - window_ns:
            self.readings.popleft()
        if not self.readings or now_ns - self.readings[-1][0] >= window_ns // SAMPLES:
            self.readings.append((now_ns, late_ns))

    def share(self, group: str, late_ns: int, now_ns: int, window_ns: int) -> float:
        """Return the pressure on an account, 0..1. After another group went up, it begins from nothing."""
        at_ns, before_ns = self.readings[0] if self.readings else (now_ns, late_ns)
        if self.promoted is not None and self.promoted[0] != group and self.promoted[1] > at_ns:
            _, at_ns, before_ns = self.promoted
        return min(1.0, (late_ns - before_ns) / max(window_ns, now_ns - at_ns))

    def is_first(self, candidate: Candidate, window_ns: int) -> bool:
        """Whether no other candidate of the last window used more."""
        first = self.first
        is_old = first is None or candidate.at_ns - first.at_ns > window_ns
        if first is None or is_old or (first.kind, first.name) == (candidate.kind, candidate.name):
            self.first = candidate
            return True
        if candidate.over_budget_ns >= first.over_budget_ns:
            self.first = candidate
            return True
        return candidate.shares_polls_with(first)

    def on_promotion(self, group: str, late_ns: int, now_ns: int) -> None:
        """Record that an account of this group went up beyond Warn."""
        self.promoted = (group, now_ns, late_ns)
        self.first = None
