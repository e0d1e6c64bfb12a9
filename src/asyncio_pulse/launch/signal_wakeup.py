"""A loop that waits is woken for a signal, as asyncio does it for the handlers that loops know.

A signal that comes after the loop's last look, and before the system call that waits, interrupts nothing: Python notes it,
and calls its handler once the loop is back from waiting, which may take for ever. Without a handler it would have
ended the process at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import threading
import weakref
from asyncio.selector_events import BaseSelectorEventLoop

__all__ = ["SignalWakeup"]


class SignalWakeup:
    """The pipe of one process that Python writes each signal to, and loops read, until the last is closed."""

    def __init__(self) -> None:
        """Prepare; the pipe is made with the first loop."""
        self._pid = 0
        self._reader = self._writer = -1
        self._loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        self._hears_of_closing = False

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
            self._loops.add(loop)
            self._hear_of_closing()
        else:
            # Whether it wanted warnings of a full pipe cannot be asked: one too few is better than one too many.
            signal.set_wakeup_fd(earlier, warn_on_full_buffer=False)

    def _hear_of_closing(self) -> None:
        if self._hears_of_closing:
            return
        self._hears_of_closing = True
        close = BaseSelectorEventLoop.close

        @functools.wraps(close)
        def close_and_tell(loop: BaseSelectorEventLoop) -> None:
            close(loop)
            self._give_back(loop)

        BaseSelectorEventLoop.close = close_and_tell  # type: ignore[assignment]

    def _give_back(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take no signals after the last loop: others, such as trio, warn where they find a descriptor of somebody else."""
        if loop not in self._loops or not loop.is_closed():
            return
        self._loops.discard(loop)
        if self._loops or threading.current_thread() is not threading.main_thread():
            return
        found = signal.set_wakeup_fd(-1)
        if found != self._writer:
            # The loop's own descriptor, which handlers of the loop need, is closed by now: nobody misses it.
            with contextlib.suppress(OSError):
                signal.set_wakeup_fd(found, warn_on_full_buffer=False)

    def _make_pipe(self) -> None:
        # Never closed, so that no signal is ever written to what somebody else opens under the same number. A forked child
        # has its own, or it would wake its parent.
        if self._pid != os.getpid():
            self._reader, self._writer = os.pipe()
            os.set_blocking(self._reader, False)
            os.set_blocking(self._writer, False)
            self._pid = os.getpid()
            self._loops.clear()

    def _empty(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 4096)
