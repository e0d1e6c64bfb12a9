"""Hides our task factory from an unmodified program, and keeps it in force when the program sets another factory.

A program that reads its loop's task factory must get its own, or None. Setting `asyncio.eager_task_factory` on a governed
loop must not end the governing. A program that calls `install` itself gets neither: there our factory is visible, and a
factory that is set later is left alone.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from asyncio_pulse import _core

__all__ = ["hide_task_factory", "take_away"]

Factory = Callable[..., Any] | None

_REAL: dict[type, tuple[Callable[[Any], Factory], Callable[[Any, Factory], None]]] = {}
"""The original methods of each class whose loops hide our factory."""


def hide_task_factory(loop_class: type[asyncio.AbstractEventLoop]) -> None:
    """Make the loops of a class show the program's task factory, and call ours before it.

    Args:
        loop_class: A class whose loops are governed from their creation. A second call for it does nothing.
    """
    get_real: Callable[[Any], Factory] = loop_class.get_task_factory
    set_real: Callable[[Any, Factory], None] = loop_class.set_task_factory
    if hasattr(get_real, "__wrapped__"):
        return
    _REAL[loop_class] = (get_real, set_real)

    def get_task_factory(loop: asyncio.AbstractEventLoop) -> Factory:
        factory = get_real(loop)
        return factory.earlier if isinstance(factory, _core.TaskFactory) else factory

    def set_task_factory(loop: asyncio.AbstractEventLoop, factory: Factory) -> None:
        present = get_real(loop)
        # The loop itself sets the factory first, because it refuses values that are not callable.
        set_real(loop, factory)
        if isinstance(factory, _core.TaskFactory) or not isinstance(present, _core.TaskFactory):
            return
        if present.governor.attached:
            set_real(loop, present.governor.task_factory(factory))

    # With setattr, because a type checker rejects assignments to methods.
    for real, replacement in ((get_real, get_task_factory), (set_real, set_task_factory)):
        setattr(loop_class, replacement.__name__, functools.wraps(real)(replacement))


def take_away(loop: asyncio.AbstractEventLoop, governor: _core.Governor) -> bool:
    """Restore the factory behind that of a governor. Returns False if another factory covers it."""
    for each in type(loop).__mro__:
        if each in _REAL:
            get_real, set_real = _REAL[each]
            break
    else:
        get_real, set_real = type(loop).get_task_factory, type(loop).set_task_factory
    present = get_real(loop)
    if not isinstance(present, _core.TaskFactory) or present.governor is not governor:
        return False
    set_real(loop, present.earlier)
    return True
