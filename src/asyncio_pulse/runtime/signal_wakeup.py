"""A loop that waits is woken for a signal, as asyncio does it for the handlers that loops know.

A signal that comes after the loop's last look, and before the system call that waits, interrupts nothing: Python notes it,
and calls its handler once the loop is back from waiting, which may take for ever. Without a handler it would have
ended the process at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.selector_events import BaseSelectorEventLoop

__all__ = ["SignalWakeup"]


class SignalWakeup:
    """The pipe of one process that Python writes each signal to, and loops read."""

    def __init__(self) -> None:
        """Prepare; the pipe is made with the first loop."""
        self._pid = 0
        self._reader = self._writer = -1

    def wake(self, loop: asyncio.AbstractEventLoop, loop_class: type[asyncio.AbstractEventLoop]) -> None:
        """Have a loop of the main thread woken by signals, unless it does that itself or the program takes care of it.

        Args:
            loop: Any loop; nothing happens to those that are not asyncio's on selectors.
            loop_class: The one of its classes that is initialised by now, with all that it derives from.
        """
        if os.name != "posix" or not issubclass(loop_class, BaseSelectorEventLoop):
            return
        own_so_far = (-1, self._writer)
        self._make_pipe()
        earlier = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        if earlier in own_so_far:
            # Not through what a subclass, which is still being made, may have put over it.
            BaseSelectorEventLoop.add_reader(loop, self._reader, self._empty)  # type: ignore[arg-type]
        else:
            # Whether it wanted warnings of a full pipe cannot be asked: one too few is better than one too many.
            signal.set_wakeup_fd(earlier, warn_on_full_buffer=False)

    def _make_pipe(self) -> None:
        # Never closed, so that no signal is ever written to what somebody else opens under the same number. A forked child
        # has its own, or it would wake its parent.
        if self._pid != os.getpid():
            self._reader, self._writer = os.pipe()
            os.set_blocking(self._reader, False)
            os.set_blocking(self._writer, False)
            self._pid = os.getpid()

    def _empty(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 4096)
