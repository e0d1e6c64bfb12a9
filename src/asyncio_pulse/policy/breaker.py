"""The circuit breaker of a group: it opens when parking makes the group wait too long, and closes after a trial.

*Closed*: the group is parked as its tier says. When more than one in a hundred recent releases came late, the breaker
*opens*, and the group is only observed. After a time it is *half-open*: the group is parked again, on trial. One late
release opens it again, for twice as long; enough timely ones close it.

Source of the pattern: Michael Nygard, "Release It!", 2007.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import deque

__all__ = ["Breaker", "BreakerState"]

NS_PER_MS = 1_000_000

WINDOW_NS = 10_000 * NS_PER_MS
"""Releases are judged over this time.

If four times the limit on a wait is longer, that is used instead: a resumption that waits for five seconds is released only
after these five seconds.
"""

OPEN_NS = 30_000 * NS_PER_MS
"""Long enough that a failed trial costs the group little, short enough that operators do not restart the process."""

LONGEST_OPEN_NS = 3_600_000 * NS_PER_MS

TRIAL_RELEASES = 20
"""Number of timely releases that end a trial. A group that is still late shows it among the first few."""

MOST_BUCKETS = 100
"""Maximum number of buckets of the window. A bucket begins with the first report after the previous bucket is over."""


class BreakerState(enum.StrEnum):
    """States of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclasses.dataclass(slots=True)
class _Bucket:
    begun_ns: int
    releases: int
    late: int


@dataclasses.dataclass(slots=True)
class Breaker:
    """The breaker of one group."""

    state: BreakerState = BreakerState.CLOSED
    wait_ms: int = 0
    """The wait that last opened the breaker, milliseconds."""
    trips: int = 0
    """Number of times that the breaker opened."""
    open_ns: int = OPEN_NS
    """How long the breaker stays open, nanoseconds."""
    _half_open_at_ns: int = 0
    _timely: int = 0
    _buckets: deque[_Bucket] = dataclasses.field(default_factory=deque)

    def at(self, now_ns: int) -> BreakerState:
        """Return the state at a time. An open breaker becomes half-open when its time is over."""
        if self.state is BreakerState.OPEN and now_ns >= self._half_open_at_ns:
            self.state = BreakerState.HALF_OPEN
            self._timely = 0
        return self.state

    def on_releases(self, releases: int, late: int, longest_ms: int, limit_ms: int, now_ns: int) -> bool:
        """Record the releases since the last report.

        Args:
            releases: Number of releases, >= `late`.
            late: Number of them that waited longer than the limit.
            longest_ms: The longest wait among them, milliseconds.
            limit_ms: The limit, milliseconds.
            now_ns: The time, nanoseconds.

        Returns:
            Whether the state changed.
        """
        state = self.at(now_ns)
        if state is BreakerState.OPEN:
            # These tasks were parked before the breaker opened.
            return False
        if state is BreakerState.HALF_OPEN:
            return self._on_trial(releases, late, longest_ms, now_ns)
        self._enter(releases, late, max(WINDOW_NS, 4 * limit_ms * NS_PER_MS), now_ns)
        all_releases = sum(bucket.releases for bucket in self._buckets)
        if sum(bucket.late for bucket in self._buckets) * 100 <= all_releases:
            return False
        self.open_ns = OPEN_NS
        self._open(longest_ms, now_ns)
        return True

    def _enter(self, releases: int, late: int, window_ns: int, now_ns: int) -> None:
        while self._buckets and self._buckets[0].begun_ns <= now_ns - window_ns:
            self._buckets.popleft()
        if self._buckets and now_ns < self._buckets[-1].begun_ns + window_ns // MOST_BUCKETS:
            self._buckets[-1].releases += releases
            self._buckets[-1].late += late
        else:
            self._buckets.append(_Bucket(now_ns, releases, late))

    def _on_trial(self, releases: int, late: int, longest_ms: int, now_ns: int) -> bool:
        if late > 0:
            self.open_ns = min(2 * self.open_ns, LONGEST_OPEN_NS)
            self._open(longest_ms, now_ns)
            return True
        self._timely += releases
        if self._timely < TRIAL_RELEASES:
            return False
        self.state = BreakerState.CLOSED
        return True

    def _open(self, longest_ms: int, now_ns: int) -> None:
        self.state = BreakerState.OPEN
        self.wait_ms = longest_ms
        self.trips += 1
        self._half_open_at_ns = now_ns + self.open_ns
        self._buckets.clear()
