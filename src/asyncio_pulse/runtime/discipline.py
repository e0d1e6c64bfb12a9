"""Disciplines in Python: they choose the next flow of a slow queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from asyncio_pulse._core import Flow

__all__ = ["Discipline"]


@runtime_checkable
class Discipline(Protocol):
    """Chooses the next flow, in place of the queue's own algorithms.

    A discipline decides between flows only. Items leave a flow in the order in which they came. Urgent items, holders and
    flows that have waited for the starvation threshold go first, so a discipline cannot lose or starve anything. A
    discipline that raises, or that returns a flow which does not wait, is removed and logged once; credit-based takes over.
    A discipline runs in the loop's thread between slices, so its time delays every task.

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
        """Return one of the waiting flows.

        Args:
            flows: All waiting flows, at least one, in no particular order.
        """
