"""The class of a governed loop's tasks: asyncio.Task, except in three versions of Python with a bug."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

__all__ = ["task_type"]


class _TaskThatKeepsItsName(asyncio.Task[Any]):
    """A task that ignores the name None.

    CPython 3.13.0 to 3.13.2 call `task.set_name(None)` on every unnamed task of a loop with a task factory, which names all
    of them "None" (gh-128308). Loops without a factory are not affected.
    """

    __slots__ = ()

    def set_name(self, value: object, /) -> None:
        if value is not None:
            super().set_name(value)


# Users see the same class name as in plain asyncio.
_TaskThatKeepsItsName.__name__ = _TaskThatKeepsItsName.__qualname__ = "Task"


def task_type() -> type[asyncio.Task[Any]]:
    """Return the class of the tasks that the native factory makes itself, when the loop had no earlier factory."""
    return _TaskThatKeepsItsName if (3, 13, 0) <= sys.version_info[:3] < (3, 13, 3) else asyncio.Task
