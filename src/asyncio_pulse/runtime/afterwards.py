"""Code of others, hooks and log handlers, is called while its thread does not hold our lock, and never breaks us.

Such code may wait for another thread that asks us something. So what is told while the lock is held is put off until the
thread lets go of it:

    with AFTERWARDS, LOCK:
        ...
        AFTERWARDS.call(tell)

Two context managers, because taking and releasing the lock stay single steps of C code: a Ctrl-C between two steps of
Python code would leave it taken for ever.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import traceback
from collections.abc import Callable

from asyncio_pulse.runtime.lock import LOCK

__all__ = ["AFTERWARDS"]


class _Afterwards:
    """What threads that hold the lock are going to tell, by the number of the thread."""

    def __init__(self) -> None:
        self._put_off: dict[int, list[Callable[[], object]]] = {}

    def call(self, tell: Callable[[], object]) -> None:
        """Call code of others: now, or once this thread holds the lock no longer."""
        if LOCK._is_owned():  # type: ignore[attr-defined]
            self._put_off.setdefault(threading.get_ident(), []).append(tell)
        else:
            _call(tell)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        # Not with the inner one of two blocks.
        if not self._put_off or LOCK._is_owned():  # type: ignore[attr-defined]
            return
        put_off = self._put_off.get(threading.get_ident())
        # One by one: what is called may come here, too, or be interrupted.
        while put_off:
            _call(put_off.pop(0))
        self._put_off.pop(threading.get_ident(), None)

    def start_anew(self) -> None:
        """Forget what the parent of this forked process was going to tell."""
        self._put_off.clear()


def _call(tell: Callable[[], object]) -> None:
    try:
        tell()
    except Exception:
        # As logging itself does it.
        if logging.raiseExceptions and sys.stderr is not None:
            with contextlib.suppress(Exception):
                traceback.print_exc()


AFTERWARDS = _Afterwards()
