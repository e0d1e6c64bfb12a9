"""Govern every event loop of a process from its creation, and count the polls of all of them."""

from __future__ import annotations

import asyncio
import functools
from asyncio import base_events, proactor_events, selector_events
from collections.abc import Callable
from typing import Any


class Polls:
    """Counts the polls of every governed loop, also after the loop is gone."""

    def __init__(self) -> None:
        import asyncio_pulse

        self._install = asyncio_pulse.install
        self._uninstall = asyncio_pulse.uninstall
        self._managers: list[Any] = []
        self._at_work: set[asyncio.AbstractEventLoop] = set()

    def govern(self, loop: asyncio.AbstractEventLoop, *, anew: bool = False) -> None:
        """Govern a loop, if it is not governed.

        Args:
            loop: The loop.
            anew: Whether another task factory has replaced ours. That factory still makes the tasks, from coroutines that
                we measure.
        """
        # Governing sets a task factory, which calls this method again.
        if loop in self._at_work:
            return
        self._at_work.add(loop)
        try:
            if anew:
                self._uninstall(loop=loop)
            manager = self._install(loop=loop)
        finally:
            self._at_work.remove(loop)
        if manager not in self._managers:
            self._managers.append(manager)

    def total(self) -> int:
        """Return the number of all polls."""
        return sum(manager.get_metrics().polls for manager in self._managers)

    def parked(self) -> int:
        """Return the number of resumptions that first waited in the slow queue."""
        return sum(manager.governor.slow_queue()["parked"] for manager in self._managers)

    def preempted(self) -> int:
        """Return the number of suspensions in the middle of a poll."""
        return sum(manager.report().preemption.preemptions for manager in self._managers)


def govern_every_loop(polls: Polls, *more: type[asyncio.AbstractEventLoop]) -> None:
    """Govern each loop of asyncio and of more types from its creation, whatever task factory the loop is given."""
    # These call it again once the loop has a selector that can be watched.
    _follow(selector_events.BaseSelectorEventLoop, "__init__", polls.govern)
    _follow(proactor_events.BaseProactorEventLoop, "__init__", polls.govern)
    types: list[type[Any]] = [base_events.BaseEventLoop, *more]
    for cls in types:
        _follow(cls, "__init__", polls.govern)
        _follow(cls, "set_task_factory", functools.partial(polls.govern, anew=True))


def _follow(cls: type[Any], method: str, then: Callable[[Any], None]) -> None:
    original = getattr(cls, method)

    @functools.wraps(original)
    def followed(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        then(self)

    setattr(cls, method, followed)
