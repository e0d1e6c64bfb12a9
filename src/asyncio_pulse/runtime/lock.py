"""The single lock of the runtime.

One lock guards all tables, because a loop may be collected, and must then be forgotten, in the middle of any of their
functions. The lock is reentrant for the same reason. It is not held over a fork: hooks of other libraries run between our
hook and the fork. A hook that waits for a thread which waits for this lock would wait for ever.
"""

from __future__ import annotations

import threading

__all__ = ["LOCK", "free_in_child"]

LOCK = threading.RLock()


def free_in_child() -> bool:
    """Free the lock in a forked child, where another thread that held it does not exist.

    Returns:
        Whether the lock is free now. False if the forking thread itself holds it: that thread continues in the child.
    """
    if LOCK._is_owned():  # type: ignore[attr-defined]
        return False
    LOCK._at_fork_reinit()  # type: ignore[attr-defined]
    return True
