"""Calls user code, such as hooks and log handlers, only while the thread does not hold our lock, and contains errors.

User code may wait for another thread that needs our lock. Calls made while the lock is held are therefore put off until
the thread releases it:

    with AFTERWARDS, LOCK:
        ...
        AFTERWARDS.call(tell)

There are two context managers so that taking and releasing the lock stay single steps of C code. A Ctrl-C between two steps
of Python code would leave the lock taken for ever.
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
    """Calls put off by threads that hold the lock, by thread id."""

    def __init__(self) -> None:
        self._put_off: dict[int, list[Callable[[], object]]] = {}

    def call(self, tell: Callable[[], object]) -> None:
        """Call user code: now, or once this thread no longer holds the lock."""
        if LOCK._is_owned():  # type: ignore[attr-defined]
            self._put_off.setdefault(threading.get_ident(), []).append(tell)
        else:
            _call(tell)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        # Leaving the inner one of two nested blocks calls nothing.
        if not self._put_off or LOCK._is_owned():  # type: ignore[attr-defined]
            return
        put_off = self._put_off.get(threading.get_ident())
        # One by one, because a call may reenter this method or be interrupted.
        while put_off:
            _call(put_off.pop(0))
        self._put_off.pop(threading.get_ident(), None)

    def start_anew(self) -> None:
        """Drop the calls that the parent of this forked process put off."""
        self._put_off.clear()


def _call(tell: Callable[[], object]) -> None:
    try:
        tell()
    except Exception:
        # Like logging itself.
        if logging.raiseExceptions and sys.stderr is not None:
            with contextlib.suppress(Exception):
                traceback.print_exc()


AFTERWARDS = _Afterwards()
