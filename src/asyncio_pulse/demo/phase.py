"""The measurements of one phase of the demo."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

__all__ = ["PERCENTS", "Phase", "percentile"]

PERCENTS = (50.0, 90.0, 99.0, 100.0)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of an ascending, non-empty sequence; 0 < percent <= 100.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 50), percentile([1.0, 2.0, 3.0, 4.0], 100)
    (2.0, 4.0)
    """
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


@dataclasses.dataclass(frozen=True, slots=True)
class Phase:
    """Latencies of one route under one load."""

    name: str
    samples: tuple[tuple[float, float], ...]
    """(intended time since the phase began in s, latency in ms), ascending and not empty."""
    report_ms: tuple[float, ...] = ()
    """Latencies of the heavy requests of this phase."""
    lateness_ms: float = 0.0
    """The generator's own lateness, not exceeded by 99 % of its requests; the latencies include it."""
    cpu_s: float | None = None
    """CPU time of the server under this load, seconds; None where the system does not tell it."""

    def percentiles(self) -> dict[str, float]:
        """Return latencies in ms by name: p50, p90, p99, max."""
        ordered = sorted(latency_ms for _, latency_ms in self.samples)
        names = ("p50", "p90", "p99", "max")
        return {name: percentile(ordered, percent) for name, percent in zip(names, PERCENTS, strict=True)}
