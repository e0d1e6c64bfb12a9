"""Polls of loops that pulse does not drive: code that can watch such a loop reports them, and they are counted alike."""

from __future__ import annotations

import dataclasses
import enum

from asyncio_pulse import _core
from asyncio_pulse.policy.group_names import check_group_name
from asyncio_pulse.policy.priority import TaskPriority

__all__ = ["ManualPolls", "PollResult", "TaskContext"]


class PollResult(enum.IntEnum):
    """How a poll ended."""

    PENDING = 0
    """The task waits for something, or gave way."""
    READY = 1
    """The task returned."""
    FAILED = 2
    """The task raised."""


@dataclasses.dataclass(frozen=True, slots=True)
class TaskContext:
    """Worker, priority and group of a task.

    Args:
        worker_id: Number of the worker, >= 0.
        priority: Priority of the task; None means NORMAL.
        group: Name of the task's explicit group, or None.
    """

    worker_id: int
    priority: TaskPriority | None = None
    group: str | None = None

    def task_priority(self) -> TaskPriority:
        """Return the priority in force."""
        return TaskPriority.NORMAL if self.priority is None else TaskPriority(self.priority)

    def priority_threshold_multiplier(self) -> float:
        """Return the factor of the promotion thresholds."""
        return self.task_priority().threshold_multiplier

    def priority_budget_multiplier(self) -> float:
        """Return the factor of the budgets."""
        return self.task_priority().budget_multiplier


class ManualPolls:
    """The tasks that other code drives, by number."""

    def __init__(self, governor: _core.Governor) -> None:
        """Report to one governor."""
        self._governor = governor
        self._tasks: dict[int, _core.ManualTask] = {}
        self._polling: set[int] = set()
        # Tasks completed in the middle of a poll, as trio does it.
        self._ending: set[int] = set()

    def before_poll(self, task_id: int, context: TaskContext) -> None:
        """Begin a poll. The first poll registers the task."""
        task = self._tasks.get(task_id)
        if task is None:
            options = _core.Options(priority=context.task_priority(), group=check_group_name(context.group))
            task = self._tasks[task_id] = _core.ManualTask(self._governor, options)
        task.begin()
        self._polling.add(task_id)

    def after_poll(self, task_id: int, result: PollResult, duration_ns: int) -> None:
        """End a poll, and forget the task if it ended too."""
        task = self._tasks.get(task_id)
        if task is None:
            raise RuntimeError(f"after_poll was called for task {task_id!r} without before_poll")
        if duration_ns < 0:
            raise ValueError(f"duration_ns must be at least 0, got {duration_ns}")
        if result is PollResult.PENDING and task_id in self._ending:
            result = PollResult.READY
        task.end(PollResult(result), duration_ns)
        self._polling.discard(task_id)
        self._ending.discard(task_id)
        if result is not PollResult.PENDING:
            del self._tasks[task_id]

    def on_yield(self, task_id: int) -> None:
        """Record that the task gave way."""
        task = self._tasks.get(task_id)
        if task is not None:
            task.yielded()

    def on_completion(self, task_id: int) -> None:
        """Record that the task is done. In the middle of a poll this takes effect at its end."""
        if task_id in self._polling:
            self._ending.add(task_id)
            return
        task = self._tasks.pop(task_id, None)
        if task is not None:
            task.complete()
