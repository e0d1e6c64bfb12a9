"""The one lock of the runtime.

One for all tables, because a loop may be collected, and must be forgotten, in the middle of any of their functions; it is
reentrant for the same reason. It is not held over a fork: hooks of other libraries run between ours and the fork, and one
that waits for a thread of its own, which waits for this lock, would wait for ever.
"""

from __future__ import annotations

import threading

__all__ = ["LOCK", "free_in_child"]

LOCK = threading.RLock()


def free_in_child() -> bool:
    """Free the lock in a forked child, where the thread that held it does not exist.

    Returns:
        Whether nobody holds it now; False if this very thread does, which forked in the middle of something and goes on.
    """
    if LOCK._is_owned():  # type: ignore[attr-defined]
        return False
    LOCK._at_fork_reinit()  # type: ignore[attr-defined]
    return True
