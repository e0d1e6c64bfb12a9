"""Which class the tasks of a governed loop have: asyncio.Task, but for a bug in three versions of Python."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

__all__ = ["task_type"]


class _TaskThatKeepsItsName(asyncio.Task[Any]):
    """A task whose name None does not replace.

    CPython 3.13.0 to 3.13.2 call `task.set_name(None)` on every unnamed task of a loop that has a task factory, so all of
    them are called "None" (gh-128308). Without a factory they are not.
    """

    __slots__ = ()

    def set_name(self, value: object, /) -> None:
        if value is not None:
            super().set_name(value)


# What a person sees of the class is the name that plain asyncio shows.
_TaskThatKeepsItsName.__name__ = _TaskThatKeepsItsName.__qualname__ = "Task"


def task_type() -> type[asyncio.Task[Any]]:
    """The class that the native task factory calls when no earlier factory makes the tasks."""
    return _TaskThatKeepsItsName if (3, 13, 0) <= sys.version_info[:3] < (3, 13, 3) else asyncio.Task
