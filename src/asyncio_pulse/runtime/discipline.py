"""Disciplines in Python: who is next among the flows that wait in a slow queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from asyncio_pulse._core import Flow

__all__ = ["Discipline"]


@runtime_checkable
class Discipline(Protocol):
    """Chooses the next flow in the place of the queue's own algorithms.

    It decides between flows only. What is queued leaves its flow in the order in which it came; urgent items, holders and
    flows that have waited for the starvation threshold go first whatever a discipline says, so that it cannot lose or
    starve anything. One that raises, or whose answer is no flow that waits, is removed and logged once; credit-based takes
    over. It runs in the loop's thread between slices, so its time is everybody's.

    Example:
        >>> from asyncio_pulse.lowlevel import Flow, SlowQueue
        >>> class LongestQueueFirst:
        ...     def choose(self, flows: list[Flow]) -> Flow:
        ...         return max(flows, key=lambda flow: flow.queued)
        >>> queue = SlowQueue(LongestQueueFirst())
        >>> [queue.enqueue(each, group=each[0]) for each in ("a1", "b1", "b2")]
        [True, True, True]
        >>> queue.process_batch(2)
        ['b1', 'a1']
    """

    def choose(self, flows: Sequence[Flow], /) -> Flow:
        """Return one of the flows that wait.

        Args:
            flows: All that wait, at least one, in no particular order.
        """
