"""Workers and their statistics.

A worker is a thread that runs a governed loop. Only the worker writes its counters. A reset from another thread therefore
moves the point from which they are counted, and writes no counter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from asyncio_pulse import _core
from asyncio_pulse.metrics.model import WorkerMetrics
from asyncio_pulse.runtime.afterwards import AFTERWARDS
from asyncio_pulse.runtime.lock import LOCK

__all__ = ["WORKERS", "WorkerTable"]

_COUNTERS = (
    "polls",
    "violations",
    "slow_polls",
    "forced_yields",
    "voluntary_yields",
    "cpu_time_ns",
    "wall_time_ns",
    "gc_time_ns",
    "tasks",
)


@dataclasses.dataclass(slots=True)
class _Worker:
    governor: _core.Governor
    in_use: Callable[[], bool]
    baseline: dict[str, int] = dataclasses.field(default_factory=dict)

    def is_taken(self) -> bool:
        return self.governor.attached and self.in_use()

    def metrics(self) -> WorkerMetrics:
        now = self.governor.counters()
        since = {name: now[name] - self.baseline.get(name, 0) for name in _COUNTERS}
        return WorkerMetrics(worker_id=self.governor.worker_id, tasks_alive=now["tasks_alive"], **since)

    def reset(self) -> None:
        now = self.governor.counters()
        self.baseline = {name: now[name] for name in _COUNTERS}


class WorkerTable:
    """All workers of the process, by number. Any thread may use it.

    A number whose loop is gone keeps its last statistics until another loop gets the number.
    """

    def __init__(self) -> None:
        """Start without workers."""
        self._workers: dict[int, _Worker] = {}

    def add(self, make_governor: Callable[[int], _core.Governor], in_use: Callable[[], bool]) -> _core.Governor:
        """Give the lowest free number to a new governor.

        Args:
            make_governor: Called with the number.
            in_use: Returns whether the number is still taken. The table keeps this function, so it must not keep the loop.
                A detached governor always gives its number back.
        """
        with AFTERWARDS, LOCK:
            worker_id = 0
            while worker_id in self._workers and self._workers[worker_id].is_taken():
                worker_id += 1
            governor = make_governor(worker_id)
            self._workers[worker_id] = _Worker(governor, in_use)
            return governor

    def metrics(self, worker_id: int) -> WorkerMetrics:
        """Return the statistics of one worker; zeros for an unused number."""
        with AFTERWARDS, LOCK:
            worker = self._workers.get(worker_id)
            return worker.metrics() if worker is not None else WorkerMetrics(worker_id)

    def all_metrics(self) -> dict[int, WorkerMetrics]:
        """Return the statistics of every worker, by number."""
        with AFTERWARDS, LOCK:
            return {worker_id: worker.metrics() for worker_id, worker in sorted(self._workers.items())}

    def reset(self, worker_id: int) -> None:
        """Restart the statistics from zero; does nothing for an unused number."""
        with AFTERWARDS, LOCK:
            worker = self._workers.get(worker_id)
            if worker is not None:
                worker.reset()

    def after_fork_in_child(self) -> None:
        """Restart all statistics from zero, including those of loops that are gone."""
        for worker in self._workers.values():
            worker.governor.start_anew()
            worker.baseline = {}


WORKERS = WorkerTable()
"""The workers of this process."""
