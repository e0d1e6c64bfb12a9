"""The configuration of the slow queue: what waits when a loop has more to do than it can, and who is next."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

from asyncio_pulse.policy.ranges import Choice, Range, Setting, Share, refuse, setting_faults

__all__ = ["SchedulingAlgorithm", "SlowQueueConfig"]


class SchedulingAlgorithm(enum.StrEnum):
    """How the next flow is chosen; a flow is what waits at one priority for one group."""

    CREDIT_BASED = "credit_based"
    """4, 3, 2 and 1 slices by priority, the most urgent first; the groups of a priority take turns."""

    LOTTERY = "lottery"
    """40, 30, 20 and 10 tickets for each flow, more after a short slice; the next one is drawn."""

    DEFICIT_ROUND_ROBIN = "deficit_round_robin"
    """4, 3, 2 and 1 milliseconds of CPU time a round for each flow, charged with what it really used."""


SETTINGS: Mapping[str, Setting] = {
    "algorithm": Choice("deficit_round_robin", tuple(SchedulingAlgorithm)),
    "max_slow_queue_size": Range(10_000, 1, 100_000),
    "slice_time_per_turn_us": Range(0, 0, 10_000_000),
    # A person gives up on what does not move for a second.
    "starvation_threshold_ms": Range(1_000, 1, 600_000),
    "lottery_seed": Range(0, 0, 2**64 - 1),
    "isolated_loop_share": Share(0.10),
    "turn_budget_ms": Range(0, 0, 60_000),
}


@dataclasses.dataclass(frozen=True, slots=True)
class SlowQueueConfig:
    """How offenders wait, and what they are given.

    Args:
        algorithm: Who is next among those that wait; a SchedulingAlgorithm or its value.
        max_slow_queue_size: How many may wait, 1..100,000; whoever finds it full simply runs.
        slice_time_per_turn_us: CPU time that offenders get together in each turn of the loop, microseconds,
            0..10,000,000; 0 stands for the budget of one poll.
        starvation_threshold_ms: How long a flow may wait before it is rescued, milliseconds, 1..600,000.
        lottery_seed: Makes the lottery's draws the same in every run, 0..2**64-1; None for different ones.
        isolated_loop_share: Share of the loop's time for all tasks at Isolate together while others wait, 0..1.
        turn_budget_ms: How long the polls of a turn of the loop may be together while a CRITICAL or HIGH task is alive,
            milliseconds, 0..60,000; NORMAL and LOW ones beyond it wait for a later turn. 0 for as long as they are.

    Raises:
        ConfigError: Lists every value that is of the wrong type or out of its range.
    """

    algorithm: SchedulingAlgorithm = SchedulingAlgorithm.DEFICIT_ROUND_ROBIN
    max_slow_queue_size: int = 10_000
    slice_time_per_turn_us: int = 0
    starvation_threshold_ms: int = 1_000
    lottery_seed: int | None = None
    isolated_loop_share: float = 0.10
    turn_budget_ms: int = 0

    def __post_init__(self) -> None:
        """Refuse values out of range; accept an algorithm by its value."""
        given = {name: getattr(self, name) for name in SETTINGS}
        if self.lottery_seed is None:
            del given["lottery_seed"]
        refuse("slow queue", setting_faults(SETTINGS, given))
        object.__setattr__(self, "algorithm", SchedulingAlgorithm(self.algorithm))
        object.__setattr__(self, "isolated_loop_share", float(self.isolated_loop_share))
