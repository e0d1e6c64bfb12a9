"""The configuration of the slow queue: which tasks wait when a loop is overloaded, and which one is next."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

from asyncio_pulse.policy.ranges import Choice, Range, Setting, Share, refuse, setting_faults

__all__ = ["SchedulingAlgorithm", "SlowQueueConfig"]


class SchedulingAlgorithm(enum.StrEnum):
    """How the next flow is chosen. A flow is what waits at one priority for one group."""

    CREDIT_BASED = "credit_based"
    """4, 3, 2 and 1 slices by priority, most urgent first; the groups of one priority take turns."""

    LOTTERY = "lottery"
    """40, 30, 20 and 10 tickets per flow, more after a short slice; a draw decides which flow is next."""

    DEFICIT_ROUND_ROBIN = "deficit_round_robin"
    """4, 3, 2 and 1 milliseconds of CPU time per flow and round; a flow is charged with the time that it really used."""


SETTINGS: Mapping[str, Setting] = {
    "algorithm": Choice("deficit_round_robin", tuple(SchedulingAlgorithm)),
    "max_slow_queue_size": Range(10_000, 1, 100_000),
    "slice_time_per_turn_us": Range(0, 0, 10_000_000),
    # Users give up on a program that shows no progress for a second.
    "starvation_threshold_ms": Range(1_000, 1, 600_000),
    "lottery_seed": Range(0, 0, 2**64 - 1),
    "isolated_loop_share": Share(0.10),
}


@dataclasses.dataclass(frozen=True, slots=True)
class SlowQueueConfig:
    """How offenders wait, and how much of each turn they get.

    Args:
        algorithm: How the next flow is chosen; a SchedulingAlgorithm or its value.
        max_slow_queue_size: Maximum number of waiting tasks, 1..100,000. A task that finds the queue full runs at once.
        slice_time_per_turn_us: CPU time that all offenders together get in each turn of the loop, microseconds,
            0..10,000,000; 0 means the budget of one poll.
        starvation_threshold_ms: How long a flow may wait before it is rescued, milliseconds, 1..600,000.
        lottery_seed: Makes the lottery draw the same in every run, 0..2**64-1; None draws differently each time.
        isolated_loop_share: Share of the loop's time for all tasks at Isolate together while other tasks wait, 0..1.

    Raises:
        ConfigError: Lists every value that is of the wrong type or out of its range.
    """

    algorithm: SchedulingAlgorithm = SchedulingAlgorithm.DEFICIT_ROUND_ROBIN
    max_slow_queue_size: int = 10_000
    slice_time_per_turn_us: int = 0
    starvation_threshold_ms: int = 1_000
    lottery_seed: int | None = None
    isolated_loop_share: float = 0.10

    def __post_init__(self) -> None:
        """Refuse values out of range; accept an algorithm by its value."""
        given = {name: getattr(self, name) for name in SETTINGS}
        if self.lottery_seed is None:
            del given["lottery_seed"]
        refuse("slow queue", setting_faults(SETTINGS, given))
        object.__setattr__(self, "algorithm", SchedulingAlgorithm(self.algorithm))
        object.__setattr__(self, "isolated_loop_share", float(self.isolated_loop_share))
