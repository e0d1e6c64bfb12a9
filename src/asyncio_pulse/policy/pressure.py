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

    account: object
    """Equal for the same account only: many tasks have one name."""
    kind: str
    """`task` or `group`."""
    group: str
    over_budget_ns: int
    """CPU time beyond its budgets within the promotion window, nanoseconds."""
    at_ns: int

    def shares_polls_with(self, other: Candidate) -> bool:
        """Whether both are one account, or one is a task of a group and the other is that group."""
        return self.account == other.account or (self.kind != other.kind and self.group == other.group)


@dataclasses.dataclass(slots=True)
class Pressure:
    """How long others waited on one loop, and who goes up next. Times are nanoseconds of one monotonic clock."""

    readings: deque[tuple[int, int]] = dataclasses.field(default_factory=deque)
    """Times, and the time beyond the target until then: ascending."""
    first: Candidate | None = None
    """The candidate that used most."""
    promoted: tuple[Candidate, int] | None = None
    """The candidate that went up last, and the time beyond the target until then."""

    def note(self, late_ns: int, now_ns: int, window_ns: int) -> None:
        """Take a reading of the time beyond the target, since the loop is watched."""
        while len(self.readings) > 1 and self.readings[1][0] <= now_ns - window_ns:
            self.readings.popleft()
        if not self.readings or now_ns - self.readings[-1][0] >= window_ns // SAMPLES:
            self.readings.append((now_ns, late_ns))

    def share(self, candidate: Candidate, late_ns: int, window_ns: int) -> float:
        """Return the pressure, 0..1. After another account went up, it begins from nothing."""
        now_ns = candidate.at_ns
        at_ns, before_ns = self.readings[0] if self.readings else (now_ns, late_ns)
        if self.promoted is not None:
            last, late_then_ns = self.promoted
            if last.at_ns > at_ns and not candidate.shares_polls_with(last):
                at_ns, before_ns = last.at_ns, late_then_ns
        # A loop that is watched anew begins from nothing, too.
        late_ns = max(0, late_ns - before_ns)
        return min(1.0, late_ns / max(window_ns, now_ns - at_ns))

    def is_first(self, candidate: Candidate, window_ns: int) -> bool:
        """Whether no other candidate of the last window used more."""
        first = self.first
        if (
            first is None
            or first.account == candidate.account
            or candidate.at_ns - first.at_ns > window_ns
            or candidate.over_budget_ns >= first.over_budget_ns
        ):
            self.first = candidate
            return True
        return candidate.shares_polls_with(first)

    def on_promotion(self, candidate: Candidate, late_ns: int) -> None:
        """Record that an account went up beyond Warn."""
        self.promoted = (candidate, late_ns)
        self.first = None
