"""Changes of tier as an asynchronous stream, for whoever wants to react to them."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator

from asyncio_pulse.metrics.model import TierChange

__all__ = ["TierEventSource", "TierEvents"]

MOST_WAITING = 1_024


class TierEvents(AsyncIterator[TierChange]):
    """The changes of tier from now on, on the loop that was running when it was made; `manager.events()` makes it.

    A consumer that is slow loses the oldest changes; `dropped` says how many.
    """

    def __init__(self) -> None:
        """Belong to the running loop.

        Raises:
            RuntimeError: No loop is running.
        """
        self._loop = asyncio.get_running_loop()
        self._changes: deque[TierChange] = deque(maxlen=MOST_WAITING)
        self._arrived = asyncio.Event()
        self.dropped = 0

    def __aiter__(self) -> TierEvents:
        """Return itself."""
        return self

    async def __anext__(self) -> TierChange:
        """Wait for the next change."""
        while not self._changes:
            self._arrived.clear()
            await self._arrived.wait()
        return self._changes.popleft()

    def put(self, change: TierChange) -> None:
        """Hand over a change; from any thread.

        Raises:
            RuntimeError: The loop is closed.
        """
        self.dropped += len(self._changes) == MOST_WAITING
        self._changes.append(change)
        self._loop.call_soon_threadsafe(self._arrived.set)


class TierEventSource:
    """Everyone who listens to the changes of one manager."""

    def __init__(self) -> None:
        """Begin without listeners."""
        self._streams: weakref.WeakSet[TierEvents] = weakref.WeakSet()
        # A set that grows while it is iterated over raises. Reentrant, because finalisers may run in here.
        self._lock = threading.RLock()

    def open(self) -> TierEvents:
        """Return a new stream; who drops it listens no more."""
        stream = TierEvents()
        with self._lock:
            self._streams.add(stream)
        return stream

    def start_anew(self) -> None:
        """Go on in a forked child, where the thread that may have held the lock does not exist."""
        self._lock = threading.RLock()

    def publish(self, change: TierChange) -> None:
        """Tell every listener."""
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            try:
                stream.put(change)
            except RuntimeError:  # its loop is closed
                with self._lock:
                    self._streams.discard(stream)
