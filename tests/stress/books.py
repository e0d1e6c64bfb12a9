"""Keeps the accounts of all tasks of a loop, and compares them with what the loop's worker counted."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import asyncio_pulse as pulse
from asyncio_pulse import _core as core

COUNTS = ("polls", "violations", "slow_polls", "forced_yields")
TIMES = ("wall_time_ns", "cpu_time_ns", "gc_time_ns")


class Books:
    """The coroutines of every task that a loop ever had; `enter` all of them."""

    def __init__(self) -> None:
        self.coroutines: list[core.GovernedCoroutine] = []

    def enter(self, task: asyncio.Task[Any] | None) -> None:
        """Note a task of the loop; one that is not governed has no account."""
        coroutine = None if task is None else task.get_coro()
        if isinstance(coroutine, core.GovernedCoroutine):
            self.coroutines.append(coroutine)

    def spawn(self, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        """Spawn a task, and note it."""
        task = pulse.spawn(coro, **options)
        self.enter(task)
        return task

    def check(self, manager: pulse.TierManager) -> None:
        """Compare, once all tasks are done.

        Raises:
            AssertionError: The worker counted something else than its tasks, or its groups did.
        """
        worker = manager.get_metrics()
        # Tasks made while the mode is "off" belong to nobody.
        governed = [coroutine for coroutine in self.coroutines if coroutine.governor is not None]
        assert worker.tasks == len(governed)
        _compare("tasks", worker, [coroutine.counters() for coroutine in governed])
        check_groups(manager)


def check_groups(manager: pulse.TierManager, *, calls: bool = False) -> None:
    """Compare a worker with its groups, once all tasks are done; the only way where tasks start others unseen.

    Args:
        manager: Of the loop.
        calls: Whether there were governed calls, whose polls inside those of a task count to their groups only.

    Raises:
        AssertionError: The worker counted something else than its groups.
    """
    worker = manager.get_metrics()
    assert (worker.tasks_alive, worker.internal_errors) == (0, 0), worker
    groups = [dataclasses.asdict(group) for group in manager.groups()]
    _compare("groups", worker, groups, COUNTS[calls:])


def _compare(whose: str, worker: object, accounts: Sequence[Mapping[str, Any]], counts: Sequence[str] = COUNTS) -> None:
    for name in counts:
        assert getattr(worker, name) == sum(account[name] for account in accounts), f"{name} of {whose}"
    for name in TIMES:
        # Each is rounded down to a nanosecond by itself.
        lost = getattr(worker, name) - sum(account[name] for account in accounts)
        assert 0 <= lost <= len(accounts), f"{name} of {whose}"
