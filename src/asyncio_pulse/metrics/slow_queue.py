"""Figures of a loop's slow queue: what waited, and for how long."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from asyncio_pulse.metrics.histogram import Histogram

__all__ = ["QUEUES", "KeptWaiting", "QueueMetrics", "SlowQueueMetrics"]

MOST_KEPT_WAITING = 64
"""Maximum number of entries for all loops together; the longest waits are kept."""

QUEUES = ("queue", "isolated", "overlong_turns")
"""The fields of a SlowQueueMetrics that are queues."""


@dataclasses.dataclass(frozen=True, slots=True)
class QueueMetrics:
    """One queue of waiting resumptions. Counts by priority are in the order CRITICAL, HIGH, NORMAL, LOW."""

    queued: tuple[int, ...] = (0, 0, 0, 0)
    """Resumptions that are waiting now."""
    served: tuple[int, ...] = (0, 0, 0, 0)
    """Resumptions that were released in their turn."""
    rescues: int = 0
    """Those among them whose flow had waited for the starvation threshold."""
    overflows: int = 0
    """Resumptions that found the queue full and ran at once."""
    high_water_mark: int = 0
    """Largest number of resumptions that ever waited together."""
    waits: Histogram = Histogram()
    """Time from parking to release of the served resumptions; resolution one microsecond."""

    @classmethod
    def merge(cls, queues: Iterable[QueueMetrics]) -> QueueMetrics:
        """Add up the queues of several loops. The high-water mark is their maximum."""
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
    """Non-offenders that waited for an offender which had been parked for longer than a slow poll lasts."""

    waiter: str
    """`__qualname__` of the coroutine that waited."""
    holder: str
    """`__qualname__` of the parked coroutine that it waited for."""
    group: str
    """Group of the holder."""
    count: int = 0
    """Number of such waits."""
    longest_ns: int = 0
    """Longest time that the holder had been parked. The waiter may have begun to wait later than that."""

    @classmethod
    def merge(cls, parts: Iterable[KeptWaiting]) -> tuple[KeptWaiting, ...]:
        """Add up entries with equal names. The longest waits come first."""
        found: dict[tuple[str, str, str], KeptWaiting] = {}
        for part in parts:
            names = (part.waiter, part.holder, part.group)
            known = found.get(names, cls(*names))
            found[names] = cls(*names, known.count + part.count, max(known.longest_ns, part.longest_ns))
        return tuple(sorted(found.values(), key=lambda each: -each.longest_ns))


@dataclasses.dataclass(frozen=True, slots=True)
class SlowQueueMetrics:
    """What happened to resumptions that the slow queue handled. Nearly all of them belong to offenders."""

    parked: int = 0
    """Resumptions that had to wait."""
    admitted: int = 0
    """Resumptions that ran at once on the rest of the turn's allowance."""
    cancelled: int = 0
    """Resumptions that were cancelled while they waited."""
    lifted: int = 0
    """Resumptions that did not wait, because a non-offender was awaiting their task."""
    slices: int = 0
    """Polls that were charged to the offenders' allowance."""
    queue: QueueMetrics = QueueMetrics()
    """The queue of tasks at Yield."""
    isolated: QueueMetrics = QueueMetrics()
    """The queue of tasks at Isolate."""
    overlong_turns: QueueMetrics = QueueMetrics()
    """The queue of non-offenders with long polls that wait for a turn with room for them: `turn_limit_ms`."""
    kept_waiting: tuple[KeptWaiting, ...] = ()
    """Waits of non-offenders for parked offenders, longest first. Only asyncio's loops show what is ready."""

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
