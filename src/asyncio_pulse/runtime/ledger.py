"""The process report: the figures of every governed loop, including those of loops that are gone.

A loop's manager goes away with its loop, so the loop's figures are added up before. The memory for loops that are gone is
bounded, and so is the time to add one more, however many loops there were: `docs/bounds.md`.
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
"""Maximum number of groups kept for all loops that are gone: the default maximum of one loop.

Beyond it, the groups not seen for longest are added to `(other)`.
"""
UNBOUNDED = sys.maxsize

_BREAKERS = ("closed", "half-open", "open")

Counters = TypeVar("Counters", Metrics, WorkerMetrics, GroupMetrics, LoopMetrics, LoopTiers)
Placed = TypeVar("Placed", WorstPoll, Stall)


@dataclasses.dataclass(slots=True)
class _Ledger:
    folding: bool = False
    open: list[TierManager] = dataclasses.field(default_factory=list)
    # Reports of loops that are gone. Appended in one step, because a loop may be collected at any moment.
    left: list[ProcessReport] = dataclasses.field(default_factory=list)
    # Groups of these loops.
    groups: _core.GroupTotals = dataclasses.field(default_factory=lambda: _core.GroupTotals(MOST_GROUPS))


_ledger = _Ledger()


def managers() -> tuple[TierManager, ...]:
    """Return the managers of the loops that are governed now."""
    return tuple(_ledger.open)


def enter(manager: TierManager) -> None:
    """Add the manager of a newly governed loop."""
    with AFTERWARDS, LOCK:
        _ledger.open.append(manager)


def leave(manager: TierManager) -> None:
    """Add up a loop that is gone or no longer governed, and remove its manager."""
    with AFTERWARDS, LOCK:
        _ledger.open.remove(manager)
        report = _report_of(manager)
        if not report.loops:
            return
        # The tasks are left out, because their tiers no longer matter, whatever becomes of them.
        _ledger.left.append(dataclasses.replace(report, tasks=()))
        _ledger.groups.add(manager.governor, False)
        if len(_ledger.left) > MOST_UNFOLDED:
            _fold()


def _fold() -> None:
    """Join the reports of loops that are gone into one."""
    if _ledger.folding or len(_ledger.left) < 2:
        return
    _ledger.folding = True
    try:
        count = len(_ledger.left)
        folded = add_up(_ledger.left[:count])
        # Reports that arrived meanwhile are behind these.
        _ledger.left[:count] = [folded]
    finally:
        _ledger.folding = False


def after_fork_in_child(open_managers: Iterable[TierManager] | None) -> None:
    """Drop the parent's figures, because the child reports only its own.

    Args:
        open_managers: Managers of the loops that are governed now; None if the forking thread is changing them.
    """
    _ledger.left.clear()
    _ledger.groups = _core.GroupTotals(MOST_GROUPS)
    if open_managers is not None:
        _ledger.folding = False
        _ledger.open[:] = open_managers


def process_report() -> ProcessReport:
    """Return all figures of this process. Any thread may call this.

    Returns:
        The report. Its `loops` counts governed loops that had a task, and loops whose mode is "off". A loop that a forked
        child inherited and never ran does not count.
    """
    with AFTERWARDS, LOCK:
        _fold()
        managers = tuple(_ledger.open)
        parts = [_report_of(manager) for manager in managers]
        is_alone = len(parts) == 1 and parts[0].loops and not _ledger.left
        report = parts[0] if is_alone else add_up([*_ledger.left, *parts])
        groups = _groups_of([manager for manager, part in zip(managers, parts, strict=True) if part.loops])
    # The groups are sorted already.
    metrics = dataclasses.replace(report.metrics, groups=len(groups))
    return dataclasses.replace(report, metrics=metrics, groups=groups)


def _groups_of(managers: list[TierManager]) -> tuple[GroupMetrics, ...]:
    """Return the groups of the governed loops and of all loops that are gone."""
    if len(managers) == 1 and not _ledger.left:
        return managers[0].groups()
    totals = _core.GroupTotals(UNBOUNDED)
    totals.add(_ledger.groups, False)
    for manager in managers:
        totals.add(manager.governor, True)
    return group_values(totals.groups())


def _report_of(manager: TierManager) -> ProcessReport:
    """Return the figures of one loop without its groups, which the core adds up."""
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


# Cached, because every loop that goes away needs it, and it does not change.
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
    """Add records of one kind field by field. Fields that are not counts come from the first record."""
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
    """Add up groups. Fields that are not figures come from the first group."""
    # Groups without any offence must not hide the reason of the others.
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
    """Join polls, or stalls, at the same place. The longest one stands for all."""
    by_place: dict[tuple[object, ...], list[Placed]] = {}
    for record in records:
        # Sampled and unsampled polls stay separate, and so do stalls of different classes.
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
    # Mode and state come from the latest loop of each worker.
    return [dataclasses.replace(same[-1], freezes=sum(loop.freezes for loop in same)) for same in by_number.values()]


def _by_name(changes: Iterable[TierChange]) -> list[TierChange]:
    """Join changes of accounts with the same name between the same tiers. The newest stands for all.

    Requests are many tasks with the same name and behaviour. Listed separately they would push everything else out.
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
    """Add up reports of several loops or processes. Fields that are not figures are those of this process."""
    reports = [part for part in parts if part.loops]
    groups = _sum_groups(group for report in reports for group in report.groups)
    # Our own faults are counted per process, not per loop.
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
