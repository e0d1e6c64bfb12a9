"""How a loop keeps up: its turns, its lag, its latency target."""

from __future__ import annotations

import dataclasses

from asyncio_pulse.metrics.histogram import Histogram

__all__ = ["LoopMetrics"]


@dataclasses.dataclass(frozen=True, slots=True)
class LoopMetrics:
    """How a loop keeps up: its turns, its lag, its utilisation."""

    worker_id: int
    turns: int = 0
    busy_ns: int = 0
    """Time not spent waiting."""
    watched_ns: int = 0
    """Time since watching began; 0 if the turns of this kind of loop cannot be watched."""
    target_ns: int = 0
    """The latency target in force; 0 if it is not known."""
    late_ns: int = 0
    """Time in which a callback that became ready had to wait longer than the target. On uvloop, an estimate."""
    max_lag_ns: int = 0
    lag: Histogram = Histogram()
    """On asyncio: lengths of turns, which bound the wait of a due timer. On uvloop: lateness of a 50 ms timer."""

    @property
    def watched(self) -> bool:
        """Whether the loop's turns are visible. If not, the other figures are 0 and mean nothing."""
        return self.watched_ns > 0

    @property
    def utilisation_ratio(self) -> float:
        """Busy time divided by all time, 0..1, like Node's event-loop utilisation."""
        return min(1.0, self.busy_ns / self.watched_ns) if self.watched_ns else 0.0

    @property
    def kept_ratio(self) -> float:
        """Share of the time in which the latency target was kept, 0..1."""
        return max(0.0, 1 - self.late_ns / self.watched_ns) if self.watched_ns else 0.0

    @property
    def p50_lag_ns(self) -> int:
        """Median lag."""
        return min(self.lag.percentile(50), self.max_lag_ns)

    @property
    def p99_lag_ns(self) -> int:
        """99th percentile of the lag."""
        return min(self.lag.percentile(99), self.max_lag_ns)
