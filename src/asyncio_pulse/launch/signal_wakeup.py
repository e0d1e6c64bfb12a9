"""Wakes a waiting loop for a signal, as asyncio does for handlers that were added to a loop.

A signal may come after the loop's last check and before the system call that waits. It then interrupts nothing: Python
records it, and calls its handler once the loop stops waiting, which may take for ever. Without a handler the signal would
have ended the process at once.
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
    """A pipe of one process. Python writes each signal to it, and loops read it until the last loop is closed."""

    def __init__(self) -> None:
        """Prepare; the first loop creates the pipe."""
        self._pid = 0
        self._reader = self._writer = -1
        self._loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        self._hears_of_closing = False

    def wake(self, loop: asyncio.AbstractEventLoop, loop_class: type[asyncio.AbstractEventLoop]) -> None:
        """Wake a loop of the main thread for signals, unless the loop or the program already takes care of that.

        Args:
            loop: Any loop. Only asyncio's selector loops are affected.
            loop_class: The base class that is initialised already, with all of its own base classes.
        """
        if os.name != "posix" or not issubclass(loop_class, BaseSelectorEventLoop):
            return
        own_so_far = (-1, self._writer)
        self._make_pipe()
        earlier = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        if earlier in own_so_far:
            # Calls the base class directly, because a subclass that is still being initialised may override the method.
            BaseSelectorEventLoop.add_reader(loop, self._reader, self._empty)  # type: ignore[arg-type]
            self._loops.add(loop)
            self._hear_of_closing()
        else:
            # The earlier setting of warn_on_full_buffer cannot be read. A missing warning is better than a spurious one.
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
        """Stop receiving signals after the last loop. Libraries such as trio warn if they find an unknown descriptor."""
        if loop not in self._loops or not loop.is_closed():
            return
        self._loops.discard(loop)
        if self._loops or threading.current_thread() is not threading.main_thread():
            return
        found = signal.set_wakeup_fd(-1)
        if found != self._writer:
            # This is the loop's own descriptor, for handlers added to the loop. It is closed already and no longer needed.
            with contextlib.suppress(OSError):
                signal.set_wakeup_fd(found, warn_on_full_buffer=False)

    def _make_pipe(self) -> None:
        # The pipe is never closed, so that no signal is written to a file that reuses its number. A forked child makes its
        # own pipe, because it would otherwise wake its parent.
        if self._pid != os.getpid():
            self._reader, self._writer = os.pipe()
            os.set_blocking(self._reader, False)
            os.set_blocking(self._writer, False)
            self._pid = os.getpid()
            self._loops.clear()

    def _empty(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 4096)
