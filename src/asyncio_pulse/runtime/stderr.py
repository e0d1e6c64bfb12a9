"""Writes to standard error from anywhere: signal handlers, the interpreter's exit, loops that made it non-blocking."""

from __future__ import annotations

import contextlib
import os
import select
import time

__all__ = ["write_patiently", "write_stderr"]

PATIENCE_S = 5.0
"""How long to wait for a reader that is behind; a pager that was left open must not hold a service's end for ever."""
PIECE_BYTES = getattr(select, "PIPE_BUF", 512)
"""What a pipe takes at once, blocking or not, when `select` says that it takes something."""
PAUSE_S = 0.01


def write_stderr(text: str) -> None:
    """Write all of a text to file descriptor 2, or as much as it takes; never raises an `OSError`.

    The descriptor rather than `sys.stderr`, whose buffer is in the middle of a write when a signal interrupts one.
    """
    # Closed, or a pipe without a reader, or with one that stopped reading: nobody is left to tell.
    with contextlib.suppress(OSError):
        write_patiently(2, text.encode("utf-8", "backslashreplace"))


def write_patiently(descriptor: int, content: bytes) -> None:
    """Write to a file, a device or a pipe, and never hang on it.

    Raises:
        TimeoutError: Nothing was taken for five seconds; how much was is not known.
        OSError: It cannot be written.
    """
    rest = memoryview(content)
    deadline = time.monotonic() + PATIENCE_S
    while rest:
        if not _takes_more(descriptor):
            break
        try:
            rest = rest[os.write(descriptor, rest[:PIECE_BYTES]) :]
            deadline = time.monotonic() + PATIENCE_S
        except BlockingIOError:
            if time.monotonic() > deadline:
                break
            time.sleep(PAUSE_S)
    if rest:
        raise TimeoutError(f"nothing was read for {PATIENCE_S:.0f} s")


def _takes_more(descriptor: int) -> bool:
    if os.name != "posix":
        return True  # Windows can only select sockets
    try:
        return bool(select.select([], [descriptor], [], PATIENCE_S)[1])
    except ValueError:
        return True  # a number too large for it: not standard error, and all others are opened non-blocking
