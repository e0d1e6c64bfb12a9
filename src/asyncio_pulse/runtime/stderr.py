"""Writes to standard error from anywhere: signal handlers, the interpreter's exit, loops that made it non-blocking."""

from __future__ import annotations

import os
import select

__all__ = ["write_stderr"]

PATIENCE_S = 5.0
"""How long to wait for a reader that is behind; a pager that was left open must not hold a service's end for ever."""


def write_stderr(text: str) -> None:
    """Write all of a text to file descriptor 2, or as much as it takes; never raises an `OSError`.

    The descriptor rather than `sys.stderr`, whose buffer is in the middle of a write when a signal interrupts one.
    """
    rest = memoryview(text.encode("utf-8", "backslashreplace"))
    try:
        while rest:
            try:
                rest = rest[os.write(2, rest) :]
            except BlockingIOError:
                if not select.select([], [2], [], PATIENCE_S)[1]:
                    return
    except OSError:
        return  # closed, or a pipe without a reader: nobody is left to tell
