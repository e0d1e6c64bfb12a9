"""Writes to standard error from signal handlers, at the interpreter's exit, and when a loop made it non-blocking."""

from __future__ import annotations

import contextlib
import os
import select
import time

__all__ = ["write_patiently", "write_stderr"]

PATIENCE_S = 5.0
"""How long to wait for a slow reader. A pager that was left open must not delay a service's exit for ever."""
PIECE_BYTES = getattr(select, "PIPE_BUF", 512)
"""Number of bytes that a pipe takes at once, blocking or not, when `select` reports it writable."""
PAUSE_S = 0.01


def write_stderr(text: str) -> None:
    """Write a text to file descriptor 2, as far as the descriptor takes it; never raises an `OSError`.

    This bypasses `sys.stderr`, whose buffer may be in the middle of a write when a signal interrupts it.
    """
    # The descriptor may be closed, or a pipe without an active reader. In both cases the text has no recipient.
    with contextlib.suppress(OSError):
        write_patiently(2, text.encode("utf-8", "backslashreplace"))


def write_patiently(descriptor: int, content: bytes) -> None:
    """Write to a file, a device or a pipe without hanging on it.

    Raises:
        TimeoutError: Nothing was taken for five seconds. The number of bytes written is not known.
        OSError: The descriptor cannot be written.
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
        return True  # too large a number for select: not standard error; all others are non-blocking
