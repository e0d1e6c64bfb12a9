"""How long things took, as the core counts them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

__all__ = ["Histogram"]


@dataclasses.dataclass(frozen=True, slots=True)
class Histogram:
    """Durations in log-linear buckets, eight to an octave: a percentile is at most 12.5 % too high, never too low.

    Source of the layout: HdrHistogram, Gil Tene, 2012.
    """

    buckets: tuple[tuple[int, int], ...] = ()
    """Pairs of (upper bound in ns, count > 0), ascending; empty buckets are left out."""

    @property
    def count(self) -> int:
        """How many durations were recorded, >= 0."""
        return sum(count for _, count in self.buckets)

    def percentile(self, percent: float) -> int:
        """Upper bound of the bucket that holds the given percentile.

        Args:
            percent: 0 < percent <= 100.

        Returns:
            Nanoseconds; 0 for an empty histogram.

        Raises:
            ValueError: The percentage is out of range.
        """
        if not 0 < percent <= 100:
            raise ValueError(f"percent must be above 0 and at most 100, got {percent!r}")
        rank = self.count * percent / 100
        seen = 0
        for upper, count in self.buckets:
            seen += count
            if seen >= rank:
                return upper
        return 0

    @classmethod
    def merge(cls, histograms: Iterable[Histogram]) -> Histogram:
        """Add histograms of one process (the bounds come from one clock, so equal buckets have equal bounds)."""
        total: dict[int, int] = {}
        for histogram in histograms:
            for upper, count in histogram.buckets:
                total[upper] = total.get(upper, 0) + count
        return cls(tuple(sorted(total.items())))
