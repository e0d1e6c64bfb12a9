"""Changes of tier as an asynchronous stream."""

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
    """The changes of tier from now on, for the loop that ran when the stream was made. `manager.events()` makes one.

    A slow consumer loses the oldest changes; `dropped` counts them.
    """

    def __init__(self) -> None:
        """Bind the stream to the running loop.

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
        """Add a change. Any thread may call this.

        Raises:
            RuntimeError: The loop is closed.
        """
        self.dropped += len(self._changes) == MOST_WAITING
        self._changes.append(change)
        self._loop.call_soon_threadsafe(self._arrived.set)


class TierEventSource:
    """All streams of changes of one manager."""

    def __init__(self) -> None:
        """Start without streams."""
        self._streams: weakref.WeakSet[TierEvents] = weakref.WeakSet()
        # Guards the set, because a set that grows during iteration raises. Reentrant, because finalisers may run in here.
        self._lock = threading.RLock()

    def open(self) -> TierEvents:
        """Return a new stream. Dropping the stream unsubscribes it."""
        stream = TierEvents()
        with self._lock:
            self._streams.add(stream)
        return stream

    def start_anew(self) -> None:
        """Replace the lock in a forked child, where a thread that held the old one does not exist."""
        self._lock = threading.RLock()

    def publish(self, change: TierChange) -> None:
        """Send a change to every stream."""
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            try:
                stream.put(change)
            except RuntimeError:  # its loop is closed
                with self._lock:
                    self._streams.discard(stream)
