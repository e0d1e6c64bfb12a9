"""Separates the program's own code from installed packages and from the standard library."""

from __future__ import annotations

import os
from collections.abc import Sequence

from asyncio_pulse.metrics.model import StackFrame

__all__ = ["PACKAGE_DIRECTORIES", "STANDARD_LIBRARY", "first_own", "is_standard", "is_wrapper"]

STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep
PACKAGE_DIRECTORIES = ("site-packages", "dist-packages")

WRAPPERS = os.path.join(os.path.dirname(os.path.dirname(__file__)), "integrations") + os.sep


def is_wrapper(filename: str) -> bool:
    """Whether a file holds coroutines of ours that stand around those of a web application."""
    return filename.startswith(WRAPPERS)


def is_standard(filename: str) -> bool:
    """Whether a file belongs to the standard library."""
    if filename.startswith("<frozen "):
        return True
    inside = filename.removeprefix(STANDARD_LIBRARY)
    return inside != filename and inside.partition(os.sep)[0] not in PACKAGE_DIRECTORIES


def first_own(stack: Sequence[StackFrame]) -> StackFrame | None:
    """Return the innermost frame of the program's own code, or None if the stack has none."""
    for frame in stack:
        installed = any(name in frame.filename for name in PACKAGE_DIRECTORIES) or is_wrapper(frame.filename)
        if not installed and not is_standard(frame.filename):
            return frame
    return None
