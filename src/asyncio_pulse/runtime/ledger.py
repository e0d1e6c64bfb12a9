"""The process report: the numbers of every governed loop, also of those that are gone.

A loop's manager goes with its loop; what the loop had to tell is added up before. What is kept of loops that are gone is
bounded, however many there were, and so is the time that it takes to add one more: `docs/bounds.md`.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import platform
import sys
from collections.abc import Iterable
from typing import TypeVar

from asyncio_pulse import _core
from asyncio_pulse.metrics.model import (
    GroupMetrics,
    Histogram,
    LoopMetrics,
    LoopTiers,
    Metrics,
    PreemptionMetrics,
    ProcessReport,
    RefusedPlace,
    SlowQueueMetrics,
    Stall,
    TaskInfo,
    TierChange,
    WorkerMetrics,
    WorstPoll,
)
from asyncio_pulse.metrics.places import choose
from asyncio_pulse.runtime.afterwards import AFTERWARDS
from asyncio_pulse.runtime.group_values import group_values
from asyncio_pulse.runtime.lock import LOCK
from asyncio_pulse.runtime.manager import TierManager
from asyncio_pulse.runtime.secret_arguments import hide_secrets

__all__ = ["add_up", "managers", "process_report", "sum_group"]

MOST_PLACES = 64
MOST_PLACES_OF_GROUP = 8
MOST_CHANGES = 64
MOST_TASKS = 64
MOST_UNFOLDED = 16
MOST_GROUPS = 1_024
"""Of all loops that are gone, as many as one loop keeps by default; beyond, those that were not seen for longest are added
to `(other)`."""
UNBOUNDED = sys.maxsize

_BREAKERS = ("closed", "half-open", "open")

Counters = TypeVar("Counters", Metrics, WorkerMetrics, GroupMetrics, LoopMetrics, LoopTiers)
Placed = TypeVar("Placed", WorstPoll, Stall)


@dataclasses.dataclass(slots=True)
class _Ledger:
    folding: bool = False
    open: list[TierManager] = dataclasses.field(default_factory=list)
    # Of loops that are gone. Appended to, in one step, because a loop may be collected in the middle of anything.
    left: list[ProcessReport] = dataclasses.field(default_factory=list)
    # Their groups.
    groups: _core.GroupTotals = dataclasses.field(default_factory=lambda: _core.GroupTotals(MOST_GROUPS))


_ledger = _Ledger()


def managers() -> tuple[TierManager, ...]:
    """The managers of the loops that are governed now."""
    return tuple(_ledger.open)


def enter(manager: TierManager) -> None:
    """Enter the manager of a loop that is governed from now on."""
    with AFTERWARDS, LOCK:
        _ledger.open.append(manager)


def leave(manager: TierManager) -> None:
    """Add up a loop that is gone, or no longer governed."""
    with AFTERWARDS, LOCK:
        _ledger.open.remove(manager)
        report = _report_of(manager)
        if not report.loops:
            return
        # Whatever becomes of its tasks, nobody is going to look at their tiers.
        _ledger.left.append(dataclasses.replace(report, tasks=()))
        _ledger.groups.add(manager.governor, False)
        if len(_ledger.left) > MOST_UNFOLDED:
            _fold()


def _fold() -> None:
    """Make one report of those of many loops."""
    if _ledger.folding or len(_ledger.left) < 2:
        return
    _ledger.folding = True
    try:
        count = len(_ledger.left)
        folded = add_up(_ledger.left[:count])
        # What came meanwhile stands behind.
        _ledger.left[:count] = [folded]
    finally:
        _ledger.folding = False


def after_fork_in_child(open_managers: Iterable[TierManager] | None) -> None:
    """Forget what the parent did: the child reports for itself.

    Args:
        open_managers: Of the loops that are governed now; None if the thread that forked is changing them.
    """
    _ledger.left.clear()
    _ledger.groups = _core.GroupTotals(MOST_GROUPS)
    if open_managers is not None:
        _ledger.folding = False
        _ledger.open[:] = open_managers


def process_report() -> ProcessReport:
    """Everything this process has to tell. Any thread may ask.

    Returns:
        The report; its `loops` counts governed loops that had a task, so one that a forked child only inherited, and
        never ran, is not in it, and those whose mode is "off".
    """
    with AFTERWARDS, LOCK:
        _fold()
        managers = tuple(_ledger.open)
        parts = [_report_of(manager) for manager in managers]
        is_alone = len(parts) == 1 and parts[0].loops and not _ledger.left
        report = parts[0] if is_alone else add_up([*_ledger.left, *parts])
        groups = _groups_of([manager for manager, part in zip(managers, parts, strict=True) if part.loops])
    # In their order already.
    metrics = dataclasses.replace(report.metrics, groups=len(groups))
    return dataclasses.replace(report, metrics=metrics, groups=groups)


def _groups_of(managers: list[TierManager]) -> tuple[GroupMetrics, ...]:
    """The groups of loops that are governed and of all that are gone."""
    if len(managers) == 1 and not _ledger.left:
        return managers[0].groups()
    totals = _core.GroupTotals(UNBOUNDED)
    totals.add(_ledger.groups, False)
    for manager in managers:
        totals.add(manager.governor, True)
    return group_values(totals.groups())


def _report_of(manager: TierManager) -> ProcessReport:
    """What one loop has to tell, but for its groups, which the core adds up."""
    metrics = manager.get_metrics()
    return _report(
        loops=1 if metrics.tasks or metrics.polls or manager.is_off else 0,
        metrics=metrics,
        workers={manager.worker_id: manager.get_worker_metrics(manager.worker_id)},
        groups=(),
        worst_polls=manager.worst_polls(),
        loop_metrics=[manager.get_loop_metrics()],
        stalls=manager.stalls(),
        loop_tiers=[manager.tiers()],
        tier_changes=_by_name(manager.audit()),
        tasks=manager.offenders(),
        slow_queue=manager.slow_queue(),
        preemption=manager.get_preemption_metrics(),
    )


# It is asked for with every loop that is gone, and does not change.
_shown = functools.lru_cache(maxsize=1)(hide_secrets)


def _report(
    loops: int,
    metrics: Metrics,
    workers: dict[int, WorkerMetrics],
    groups: Iterable[GroupMetrics],
    worst_polls: Iterable[WorstPoll],
    loop_metrics: Iterable[LoopMetrics],
    stalls: Iterable[Stall],
    loop_tiers: Iterable[LoopTiers],
    tier_changes: Iterable[TierChange],
    tasks: Iterable[TaskInfo],
    slow_queue: SlowQueueMetrics,
    preemption: PreemptionMetrics,
) -> ProcessReport:
    return ProcessReport(
        pid=os.getpid(),
        argv=_shown(tuple(sys.orig_argv)),
        python=platform.python_version(),
        clock=_core.clock_info()["name"],
        loops=loops,
        metrics=metrics,
        workers=workers,
        groups=tuple(sorted(groups, key=lambda group: (-group.wall_time_ns, group.name))),
        worst_polls=choose(worst_polls, MOST_PLACES, MOST_PLACES_OF_GROUP),
        loop_metrics=tuple(sorted(loop_metrics, key=lambda loop: loop.worker_id)),
        stalls=choose(stalls, MOST_PLACES, MOST_PLACES_OF_GROUP),
        loop_tiers=tuple(sorted(loop_tiers, key=lambda loop: loop.worker_id)),
        tier_changes=tuple(sorted(tier_changes, key=lambda change: -change.at_ns)[:MOST_CHANGES]),
        tasks=tuple(sorted(tasks, key=lambda task: (-task.tier, -task.cpu_time_ns))[:MOST_TASKS]),
        slow_queue=slow_queue,
        preemption=preemption,
    )


def _sum(parts: Iterable[Counters]) -> Counters:
    """Add records of one kind field by field; what is no count is the first one's."""
    first, *rest = parts
    for other in rest:
        counts = {
            field.name: getattr(first, field.name) + getattr(other, field.name)
            for field in dataclasses.fields(first)
            if type(getattr(first, field.name)) is int and field.name != "worker_id"
        }
        first = dataclasses.replace(first, **counts)
    return first


def _sum_groups(groups: Iterable[GroupMetrics]) -> list[GroupMetrics]:
    by_name: dict[tuple[str, bool], list[GroupMetrics]] = {}
    for group in groups:
        by_name.setdefault((group.name, group.explicit), []).append(group)
    return [sum_group(same) for same in by_name.values()]


def sum_group(same: list[GroupMetrics]) -> GroupMetrics:
    """Add groups up; what is no figure is the first one's."""
    # Those that nobody ever objected to say nothing about the others.
    worst = max(same, key=lambda group: (group.tier, bool(group.tier_reason)))
    return dataclasses.replace(
        _sum(same),
        max_ns=max(group.max_ns for group in same),
        histogram=Histogram.merge(group.histogram for group in same),
        tier=worst.tier,
        tier_reason=worst.tier_reason,
        breaker=max((group.breaker for group in same), key=_BREAKERS.index),
        breaker_wait_ms=max(group.breaker_wait_ms for group in same),
    )


def _sum_workers(reports: list[ProcessReport]) -> dict[int, WorkerMetrics]:
    by_number: dict[int, list[WorkerMetrics]] = {}
    for report in reports:
        for number, worker in report.workers.items():
            by_number.setdefault(number, []).append(worker)
    return {number: _sum(same) for number, same in sorted(by_number.items())}


def _by_place(records: Iterable[Placed]) -> list[Placed]:
    """Put polls, or stalls, of one place together: the longest stands for all."""
    by_place: dict[tuple[object, ...], list[Placed]] = {}
    for record in records:
        # Those seen running are told apart from those that were not, and stalls by their class.
        kind = getattr(record, "stall_class", bool(record.stack))
        by_place.setdefault((record.group, record.function, record.filename, kind), []).append(record)
    return [
        dataclasses.replace(
            max(same, key=lambda record: record.wall_ns),
            count=sum(record.count for record in same),
            total_wall_ns=sum(record.total_wall_ns for record in same),
        )
        for same in by_place.values()
    ]


def _sum_loops(loops: Iterable[LoopMetrics]) -> list[LoopMetrics]:
    by_number: dict[int, list[LoopMetrics]] = {}
    for loop in loops:
        by_number.setdefault(loop.worker_id, []).append(loop)
    return [
        dataclasses.replace(
            _sum(same),
            max_lag_ns=max(loop.max_lag_ns for loop in same),
            lag=Histogram.merge(loop.lag for loop in same),
        )
        for same in by_number.values()
    ]


def _sum_tiers(loops: Iterable[LoopTiers]) -> list[LoopTiers]:
    by_number: dict[int, list[LoopTiers]] = {}
    for loop in loops:
        by_number.setdefault(loop.worker_id, []).append(loop)
    # Mode and state are those of the latest loop of a worker.
    return [dataclasses.replace(same[-1], freezes=sum(loop.freezes for loop in same)) for same in by_number.values()]


def _by_name(changes: Iterable[TierChange]) -> list[TierChange]:
    """Put changes of accounts of one name between the same tiers together: the newest stands for all.

    Requests are many tasks that share a name and do the same; told apart they would push everybody else out.
    """
    by_name: dict[tuple[object, ...], list[TierChange]] = {}
    for change in changes:
        key = (change.account, change.name, change.group, change.before, change.after)
        by_name.setdefault(key, []).append(change)
    return [
        dataclasses.replace(max(same, key=lambda change: change.at_ns), count=sum(change.count for change in same))
        for same in by_name.values()
    ]


def _sum_preemption(parts: list[PreemptionMetrics]) -> PreemptionMetrics:
    refused: dict[str, int] = {}
    places: dict[tuple[str, str, str, int], int] = {}
    for part in parts:
        for rule, count in part.refused.items():
            refused[rule] = refused.get(rule, 0) + count
        for place in part.places:
            key = (place.rule, place.function, place.filename, place.line)
            places[key] = places.get(key, 0) + place.count
    summed = (RefusedPlace(*key, count) for key, count in places.items())
    return PreemptionMetrics(
        preemptions=sum(part.preemptions for part in parts),
        put_off=sum(part.put_off for part in parts),
        refused=refused,
        places=tuple(sorted(summed, key=lambda place: -place.count)[:MOST_PLACES]),
        delay=Histogram.merge(part.delay for part in parts),
    )


def add_up(parts: Iterable[ProcessReport]) -> ProcessReport:
    """Make one report of several, of loops or of processes; what is no figure is this process's own."""
    reports = [part for part in parts if part.loops]
    groups = _sum_groups(group for report in reports for group in report.groups)
    # Faults of ours are counted for the whole process, not for each loop.
    faults = max((report.metrics.internal_errors for report in reports), default=0)
    total = _sum([Metrics(), *(report.metrics for report in reports)])
    return _report(
        loops=sum(report.loops for report in reports),
        metrics=dataclasses.replace(total, groups=len(groups), internal_errors=faults),
        workers=_sum_workers(reports),
        groups=groups,
        worst_polls=_by_place(poll for report in reports for poll in report.worst_polls),
        loop_metrics=_sum_loops(loop for report in reports for loop in report.loop_metrics),
        stalls=_by_place(stall for report in reports for stall in report.stalls),
        loop_tiers=_sum_tiers(loop for report in reports for loop in report.loop_tiers),
        tier_changes=_by_name(change for report in reports for change in report.tier_changes),
        tasks=[task for report in reports for task in report.tasks],
        slow_queue=SlowQueueMetrics.merge(report.slow_queue for report in reports),
        preemption=_sum_preemption([report.preemption for report in reports]),
    )
