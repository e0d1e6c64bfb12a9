"""Adds up figures: of the loops of a process, and of the processes of a run."""

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
    RefusedPlace,
    Report,
    SlowQueueMetrics,
    Stall,
    TaskInfo,
    TierChange,
    WorkerMetrics,
    WorstPoll,
)
from asyncio_pulse.metrics.places import choose
from asyncio_pulse.runtime.secret_arguments import hide_secrets

__all__ = ["add_up", "by_name", "make_report", "sum_group"]

MOST_PLACES = 64
MOST_PLACES_OF_GROUP = 8
MOST_CHANGES = 64
MOST_TASKS = 64

_BREAKERS = ("closed", "half-open", "open")

Counters = TypeVar("Counters", Metrics, WorkerMetrics, GroupMetrics, LoopMetrics, LoopTiers)
Placed = TypeVar("Placed", WorstPoll, Stall)


# Cached, because every loop that goes away needs it, and it does not change.
_shown = functools.lru_cache(maxsize=1)(hide_secrets)


def make_report(
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
) -> Report:
    """Put a report together, in its order and within its bounds."""
    return Report(
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


def add_up(parts: Iterable[Report]) -> Report:
    """Add up reports of several loops or processes. Fields that are not figures are those of this process."""
    reports = [part for part in parts if part.loops]
    groups = _sum_groups(group for report in reports for group in report.groups)
    # Our own faults are counted per process, not per loop.
    faults = max((report.metrics.internal_errors for report in reports), default=0)
    total = _sum([Metrics(), *(report.metrics for report in reports)])
    return make_report(
        loops=sum(report.loops for report in reports),
        metrics=dataclasses.replace(total, groups=len(groups), internal_errors=faults),
        workers=_sum_workers(reports),
        groups=groups,
        worst_polls=_by_place(poll for report in reports for poll in report.worst_polls),
        loop_metrics=_sum_loops(loop for report in reports for loop in report.loop_metrics),
        stalls=_by_place(stall for report in reports for stall in report.stalls),
        loop_tiers=_sum_tiers(loop for report in reports for loop in report.loop_tiers),
        tier_changes=by_name(change for report in reports for change in report.tier_changes),
        tasks=[task for report in reports for task in report.tasks],
        slow_queue=SlowQueueMetrics.merge(report.slow_queue for report in reports),
        preemption=_sum_preemption([report.preemption for report in reports]),
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


def _sum_workers(reports: list[Report]) -> dict[int, WorkerMetrics]:
    by_number: dict[int, list[WorkerMetrics]] = {}
    for report in reports:
        for number, worker in report.workers.items():
            by_number.setdefault(number, []).append(worker)
    return {number: _sum(same) for number, same in sorted(by_number.items())}


def _by_place(records: Iterable[Placed]) -> list[Placed]:
    """Join polls, or stalls, at the same place. The longest one stands for all."""
    by_place: dict[tuple[object, ...], list[Placed]] = {}
    for record in records:
        # Sampled and unsampled ones stay separate, and so do stalls of different classes, and short calls from stalls.
        kind = bool(record.stack), getattr(record, "stall_class", ""), getattr(record, "within_ns", 0) > 0
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
            target_ns=same[0].target_ns,
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


def by_name(changes: Iterable[TierChange]) -> list[TierChange]:
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
