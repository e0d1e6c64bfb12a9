"""The one lock of the runtime.

One for all tables, because a loop may be collected, and must be forgotten, in the middle of any of their functions; it is
reentrant for the same reason. `install` holds it over a fork, so that the child finds no table half changed.
"""

from __future__ import annotations

import threading

__all__ = ["LOCK"]

LOCK = threading.RLock()
