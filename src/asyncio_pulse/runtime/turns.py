"""Watches the turns of a loop: through its selector if that is accessible, else by a heartbeat."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Mapping
from typing import Any

from asyncio_pulse import _core
from asyncio_pulse.runtime.uvloop_loops import libuv_of

__all__ = ["watch_turns"]

_NONE: Mapping[str, Any] = {}

HEARTBEAT_US = 50_000
"""Twenty heartbeats a second detect a lag of 100 ms in an idle loop, and cost about 0.02 % of a core."""


def watch_turns(governor: _core.Governor, loop: asyncio.AbstractEventLoop) -> Callable[[], None] | None:
    """Watch when a loop waits and when it is busy.

    Returns:
        A function that undoes it. Afterwards the loop calls nothing of ours, except one last heartbeat. None if there is
        nothing to watch: the loop is closed, is an asyncio loop without a selector, or is still being made.
    """
    if loop.is_closed():
        return None
    # Checked by attribute, because the class may come from a module that was loaded a second time.
    if not hasattr(loop, "_run_once"):
        return _start_heartbeat(governor, loop)
    selector: Any = getattr(loop, "_selector", None)
    own = _attributes(selector)
    epoll = own.get("_selector")
    if isinstance(epoll, getattr(select, "epoll", ())):
        return _watch_epoll(governor, loop, selector, epoll)
    if hasattr(selector, "select") and own is not _NONE:
        return _watch_selector(governor, loop, selector)
    return None


def _attributes(selector: object) -> Mapping[str, Any]:
    """Return the attributes that can be set. A wrapper of another selector may pass on reads but not writes."""
    try:
        own: Mapping[str, Any] = object.__getattribute__(selector, "__dict__")
    except AttributeError:
        return _NONE
    return own


def _watch_epoll(
    governor: _core.Governor, loop: asyncio.AbstractEventLoop, selector: Any, epoll: Any
) -> Callable[[], None]:
    watch = governor.watch_epoll(loop, epoll)
    selector._selector = watch

    def undo() -> None:
        # If other code covered our watch, it stays, and passes calls through.
        if selector._selector is watch:
            selector._selector = epoll

    return undo


def _watch_selector(governor: _core.Governor, loop: asyncio.AbstractEventLoop, selector: Any) -> Callable[[], None]:
    # An attribute of the instance hides the method of the class, and the selector stays the same object.
    earlier = vars(selector).get("select")
    watch = governor.watch_select(loop, selector)
    selector.select = watch

    def undo() -> None:
        if vars(selector).get("select") is not watch:
            return
        if earlier is None:
            del selector.select
        else:
            selector.select = earlier

    return undo


def _start_heartbeat(governor: _core.Governor, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    library, libuv_loop = libuv_of(loop)
    # The loop may belong to another thread, and need not run yet.
    loop.call_soon_threadsafe(governor.heartbeat(loop, HEARTBEAT_US, library, libuv_loop))
    return lambda: None
