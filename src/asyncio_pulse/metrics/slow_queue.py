"""What waited in the slow queue of a loop, and for how long."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from asyncio_pulse.metrics.histogram import Histogram

__all__ = ["QUEUES", "KeptWaiting", "QueueMetrics", "SlowQueueMetrics"]

MOST_KEPT_WAITING = 64
"""Entries of several loops together, the longest."""

QUEUES = ("queue", "isolated", "overlong_turns")
"""The queues of a SlowQueueMetrics."""


@dataclasses.dataclass(frozen=True, slots=True)
class QueueMetrics:
    """One of the queues of a loop in which resumptions wait; counts by priority are CRITICAL, HIGH, NORMAL, LOW."""

    queued: tuple[int, ...] = (0, 0, 0, 0)
    """How many wait now."""
    served: tuple[int, ...] = (0, 0, 0, 0)
    """How many were released in their turn."""
    rescues: int = 0
    """How many of those because their flow had waited for the starvation threshold."""
    overflows: int = 0
    """How many found the queue full, and ran at once."""
    high_water_mark: int = 0
    """The most that ever waited."""
    waits: Histogram = Histogram()
    """From parking to release, of those that were served; in steps of a microsecond."""

    @classmethod
    def merge(cls, queues: Iterable[QueueMetrics]) -> QueueMetrics:
        """Add up the queues of several loops; the high-water mark is the highest one."""
        parts = [cls(), *queues]
        return cls(
            queued=tuple(map(sum, zip(*(part.queued for part in parts), strict=True))),
            served=tuple(map(sum, zip(*(part.served for part in parts), strict=True))),
            rescues=sum(part.rescues for part in parts),
            overflows=sum(part.overflows for part in parts),
            high_water_mark=max(part.high_water_mark for part in parts),
            waits=Histogram.merge(part.waits for part in parts),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class KeptWaiting:
    """Tasks that are no offenders were woken by an offender that had been parked for longer than a slow poll lasts."""

    waiter: str
    """The coroutine that waited; `__qualname__`."""
    holder: str
    """The one that it waited for."""
    group: str
    """The latter's group."""
    count: int = 0
    """How often."""
    longest_ns: int = 0
    """The longest time that the latter was parked before; the former may have begun to wait in the middle of it."""

    @classmethod
    def merge(cls, parts: Iterable[KeptWaiting]) -> tuple[KeptWaiting, ...]:
        """Add up those of the same names, the longest first."""
        found: dict[tuple[str, str, str], KeptWaiting] = {}
        for part in parts:
            names = (part.waiter, part.holder, part.group)
            known = found.get(names, cls(*names))
            found[names] = cls(*names, known.count + part.count, max(known.longest_ns, part.longest_ns))
        return tuple(sorted(found.values(), key=lambda each: -each.longest_ns))


@dataclasses.dataclass(frozen=True, slots=True)
class SlowQueueMetrics:
    """What was done with resumptions that did not run at once, or might not have: nearly all of offenders."""

    parked: int = 0
    """Had to wait."""
    admitted: int = 0
    """Ran at once, on what was left of the turn's allowance."""
    cancelled: int = 0
    """Were cancelled while they waited."""
    lifted: int = 0
    """Did not have to wait, because a task that is no offender awaits theirs."""
    slices: int = 0
    """Polls that were charged to the offenders' allowance."""
    queue: QueueMetrics = QueueMetrics()
    """Of those at Yield."""
    isolated: QueueMetrics = QueueMetrics()
    """Of those at Isolate."""
    overlong_turns: QueueMetrics = QueueMetrics()
    """Of NORMAL and LOW tasks that are no offenders, for a turn with room for them: `turn_budget_ms`."""
    kept_waiting: tuple[KeptWaiting, ...] = ()
    """Who was kept waiting by whom, on loops that show what is ready: asyncio's. The longest first."""

    @classmethod
    def merge(cls, parts: Iterable[SlowQueueMetrics]) -> SlowQueueMetrics:
        """Add up several loops."""
        loops = [cls(), *parts]
        counters = ("parked", "admitted", "cancelled", "lifted", "slices")
        queues: dict[str, Any] = {name: QueueMetrics.merge(getattr(loop, name) for loop in loops) for name in QUEUES}
        return cls(
            **{name: sum(getattr(loop, name) for loop in loops) for name in counters},
            **queues,
            kept_waiting=KeptWaiting.merge(each for loop in loops for each in loop.kept_waiting)[:MOST_KEPT_WAITING],
        )
