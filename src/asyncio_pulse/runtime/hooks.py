"""Hooks: user code that runs around every poll of a governed loop.

Absent hooks cost nothing: the core knows whether there are any, and a loop without hooks runs its plain path. A hook that
raises is removed and logged; the task that was being polled never sees the error.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from asyncio_pulse import _core
from asyncio_pulse.metrics.model import TierChange
from asyncio_pulse.policy.priority import TaskPriority
from asyncio_pulse.runtime.afterwards import AFTERWARDS
from asyncio_pulse.runtime.manual import PollResult, TaskContext
from asyncio_pulse.runtime.origin import origin_of

__all__ = ["HookRegistry", "PreemptionHooks"]

logger = logging.getLogger(__name__)


class PreemptionHooks:
    """Base of hooks, whose methods do nothing.

    Override the methods that you need, and accept keywords that later versions may add. Hooks run in the loop's thread,
    between the polls of tasks, and delay them all. They are released when their loop is closed or no longer governed. Hooks
    for polls that pulse does not drive run where these polls are reported.
    """

    def before_poll(self, task_id: int, context: TaskContext, **kwargs: Any) -> None:
        """A poll begins.

        Args:
            task_id: Number of the task; never reused within a process.
            context: Worker, priority and group of the task.
            **kwargs: Reserved.
        """

    def after_poll(self, task_id: int, result: PollResult, duration_ns: int, **kwargs: Any) -> None:
        """A poll ended.

        Args:
            task_id: Number of the task.
            result: How the poll ended.
            duration_ns: Wall time of the task itself, without nested polls, nanoseconds.
            **kwargs: Reserved.
        """

    def on_yield(self, task_id: int, **kwargs: Any) -> None:
        """The poll ended with a bare yield: the task gave way although it could have continued."""

    def on_completion(self, task_id: int, **kwargs: Any) -> None:
        """The task returned or raised."""

    def on_tier_change(self, change: TierChange, **kwargs: Any) -> None:
        """An account of the loop changed its tier.

        This runs in the loop's thread, too. A change that another thread causes, by `update_config` or by reading, arrives
        there soon after.
        """


class HookRegistry:
    """The hooks of one loop, available as `manager.hooks`. Any thread may register and unregister hooks."""

    def __init__(self, governor: _core.Governor) -> None:
        """Start without hooks."""
        self._governor = governor
        self._hooks: tuple[PreemptionHooks, ...] = ()

    def __len__(self) -> int:
        """Return the number of registered hooks."""
        return len(self._hooks)

    def register(self, hooks: PreemptionHooks) -> None:
        """Call these hooks around every poll, from each task's next poll on, after the hooks registered before.

        Raises:
            TypeError: `hooks` is not a PreemptionHooks.
        """
        if not isinstance(hooks, PreemptionHooks):
            raise TypeError(f"hooks must be an instance of PreemptionHooks, got {hooks!r}")
        self._replace((*self._hooks, hooks))

    def unregister(self, hooks: PreemptionHooks) -> None:
        """Stop calling these hooks; does nothing if they are not registered."""
        self._replace(tuple(each for each in self._hooks if each is not hooks))

    def _replace(self, hooks: tuple[PreemptionHooks, ...]) -> None:
        self._hooks = hooks
        self._governor.set_hooks(self if hooks else None)

    def _call(self, name: str, *arguments: Any) -> None:
        for hooks in self._hooks:
            try:
                getattr(hooks, name)(*arguments)
            except Exception as error:
                self.unregister(hooks)
                text, origin = "%s: %s of %r raised; these hooks are removed", origin_of(self._governor.worker_id)
                AFTERWARDS.call(partial(logger.error, text, origin, name, hooks, exc_info=error))

    def on_tier_change(self, change: TierChange) -> None:
        """Pass on a change of tier."""
        self._call("on_tier_change", change)

    # Called by the core, with plain numbers.

    def before_poll(self, task_id: int, worker_id: int, priority: int, group: str) -> None:
        """Pass on the beginning of a poll."""
        self._call("before_poll", task_id, TaskContext(worker_id, TaskPriority(priority), group))

    def after_poll(self, task_id: int, result: int, duration_ns: int) -> None:
        """Pass on the end of a poll."""
        self._call("after_poll", task_id, PollResult(result), duration_ns)

    def on_yield(self, task_id: int) -> None:
        """Pass on a bare yield."""
        self._call("on_yield", task_id)

    def on_completion(self, task_id: int) -> None:
        """Pass on the end of a task."""
        self._call("on_completion", task_id)
