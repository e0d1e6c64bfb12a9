"""The JSON report: a documented, versioned form of `Report`. docs/report-schema.md lists every field."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from asyncio_pulse.errors import PulseError
from asyncio_pulse.metrics.model import (
    GroupMetrics,
    Histogram,
    KeptWaiting,
    LoopMetrics,
    LoopTiers,
    Metrics,
    PreemptionMetrics,
    QueueMetrics,
    RefusedPlace,
    Report,
    SlowQueueMetrics,
    StackFrame,
    Stall,
    TaskInfo,
    TierChange,
    WorkerMetrics,
    WorstPoll,
)
from asyncio_pulse.metrics.slow_queue import QUEUES
from asyncio_pulse.runtime.stderr import write_patiently

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["SCHEMA", "VERSION", "from_dict", "read_reports", "to_dict", "write_reports"]

SCHEMA = "asyncio-pulse/report"
VERSION = 1
"""Increases when a field is removed or changes its meaning. A new field alone does not increase it."""

Value = TypeVar("Value", bound="DataclassInstance")


def to_dict(reports: Sequence[Report]) -> dict[str, Any]:
    """Return the document, built from JSON's own types only."""
    return {"schema": SCHEMA, "version": VERSION, "processes": [_process_to_dict(report) for report in reports]}


def from_dict(document: Any) -> list[Report]:
    """Read a document from `to_dict`. Unknown fields are ignored.

    Raises:
        PulseError: The schema or the version is another one, or a field is missing.
    """
    found = (document.get("schema"), document.get("version")) if isinstance(document, Mapping) else (None, None)
    if found != (SCHEMA, VERSION):
        raise PulseError(f"not a report that can be read here: schema and version are {found}")
    try:
        return [_process_from_dict(each) for each in document["processes"]]
    except (KeyError, TypeError) as error:
        raise PulseError(f"damaged report: {error!r}") from error


def write_reports(path: str, reports: Sequence[Report]) -> None:
    """Write the document to a file, completely or not at all.

    Raises:
        OSError: The file cannot be written; an earlier file is unchanged.
    """
    content = json.dumps(to_dict(reports)) + "\n"
    if os.path.exists(path) and not os.path.isfile(path):
        # A device or a pipe. Replacing it would destroy it; if root replaces /dev/null, for all users.
        descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))  # else a pipe waits for a reader
        try:
            write_patiently(descriptor, content.encode())
        finally:
            os.close(descriptor)
        return
    target = os.path.realpath(path)
    draft = f"{target}.{os.getpid()}.tmp"
    try:
        with open(draft, "w", encoding="utf-8") as stream:
            stream.write(content)
        os.replace(draft, target)
    except OSError:
        if os.path.exists(draft):
            os.unlink(draft)
        raise


def read_reports(path: str) -> list[Report]:
    """Read a file from `write_reports`.

    Raises:
        OSError: The file cannot be read.
        PulseError: The file is not a report of this version.
    """
    with open(path, encoding="utf-8") as stream:
        try:
            document = json.load(stream)
        except ValueError as error:
            raise PulseError(f"{path} is not JSON: {error}") from error
    return from_dict(document)


def _process_to_dict(report: Report) -> dict[str, Any]:
    return {
        "pid": report.pid,
        "processes": report.processes,
        "pids": list(report.pids),
        "argv": list(report.argv),
        "python": report.python,
        "clock": report.clock,
        "loops": report.loops,
        "metrics": dataclasses.asdict(report.metrics),
        "workers": [dataclasses.asdict(report.workers[number]) for number in sorted(report.workers)],
        "groups": [_group_to_dict(group) for group in report.groups],
        "worst_polls": [{**_placed_to_dict(poll), "sampled": poll.sampled} for poll in report.worst_polls],
        "loop_metrics": [_loop_to_dict(loop) for loop in report.loop_metrics],
        "stalls": [_placed_to_dict(stall) for stall in report.stalls],
        "loop_tiers": [{**dataclasses.asdict(loop), "anywhere": list(loop.anywhere)} for loop in report.loop_tiers],
        "tier_changes": [_placed_to_dict(change) for change in report.tier_changes],
        "tasks": [dataclasses.asdict(task) for task in report.tasks],
        "slow_queue": _slow_queue_to_dict(report.slow_queue),
        "preemption": _preemption_to_dict(report.preemption),
    }


def _preemption_to_dict(preemption: PreemptionMetrics) -> dict[str, Any]:
    places = [dataclasses.asdict(place) for place in preemption.places]
    return {**dataclasses.asdict(preemption), "places": places, "delay": _buckets(preemption.delay)}


def _group_to_dict(group: GroupMetrics) -> dict[str, Any]:
    fields = dataclasses.asdict(group)
    del fields["histogram"]
    return {**fields, "p50_ns": group.p50_ns, "p99_ns": group.p99_ns, "histogram": _buckets(group.histogram)}


def _loop_to_dict(loop: LoopMetrics) -> dict[str, Any]:
    derived = {
        "watched": loop.watched,
        "utilisation_ratio": loop.utilisation_ratio,
        "kept_ratio": loop.kept_ratio,
        "p50_lag_ns": loop.p50_lag_ns,
        "p99_lag_ns": loop.p99_lag_ns,
    }
    return {**dataclasses.asdict(loop), **derived, "lag": _buckets(loop.lag)}


def _slow_queue_to_dict(metrics: SlowQueueMetrics) -> dict[str, Any]:
    queues = {name: _queue_to_dict(getattr(metrics, name)) for name in QUEUES}
    kept_waiting = [dataclasses.asdict(each) for each in metrics.kept_waiting]
    return {**dataclasses.asdict(metrics), **queues, "kept_waiting": kept_waiting}


def _queue_to_dict(queue: QueueMetrics) -> dict[str, Any]:
    fields = dataclasses.asdict(queue)
    return {**fields, "queued": list(queue.queued), "served": list(queue.served), "waits": _buckets(queue.waits)}


def _buckets(histogram: Histogram) -> list[dict[str, int]]:
    return [{"upper_ns": upper, "count": count} for upper, count in histogram.buckets]


def _placed_to_dict(record: WorstPoll | Stall | TierChange) -> dict[str, Any]:
    return {**dataclasses.asdict(record), "stack": [dataclasses.asdict(frame) for frame in record.stack]}


def _process_from_dict(fields: Mapping[str, Any]) -> Report:
    workers = [_known(WorkerMetrics, each) for each in fields["workers"]]
    return Report(
        pid=fields["pid"],
        argv=tuple(fields["argv"]),
        python=fields["python"],
        clock=fields["clock"],
        loops=fields["loops"],
        metrics=_known(Metrics, fields["metrics"]),
        workers={worker.worker_id: worker for worker in workers},
        groups=tuple(_group_from_dict(each) for each in fields["groups"]),
        worst_polls=tuple(_with_stack(WorstPoll, each) for each in fields["worst_polls"]),
        loop_metrics=tuple(_loop_from_dict(each) for each in fields["loop_metrics"]),
        stalls=tuple(_with_stack(Stall, each) for each in fields["stalls"]),
        # Files from before there were tiers lack these fields.
        loop_tiers=tuple(_tiers_from_dict(each) for each in fields.get("loop_tiers", ())),
        tier_changes=tuple(_with_stack(TierChange, each) for each in fields.get("tier_changes", ())),
        tasks=tuple(_known(TaskInfo, each) for each in fields.get("tasks", ())),
        slow_queue=_slow_queue_from_dict(fields.get("slow_queue", {})),
        preemption=_preemption_from_dict(fields.get("preemption", {})),
        processes=fields.get("processes", 1),
        pids=tuple(fields.get("pids", ())),
    )


def _tiers_from_dict(fields: Mapping[str, Any]) -> LoopTiers:
    return _known(LoopTiers, {**fields, "anywhere": tuple(fields.get("anywhere", ()))})


def _preemption_from_dict(fields: Mapping[str, Any]) -> PreemptionMetrics:
    places = tuple(_known(RefusedPlace, each) for each in fields.get("places", ()))
    return _known(PreemptionMetrics, {**fields, "places": places, "delay": _histogram(fields.get("delay", ()))})


def _group_from_dict(fields: Mapping[str, Any]) -> GroupMetrics:
    return _known(GroupMetrics, {**fields, "histogram": _histogram(fields["histogram"])})


def _loop_from_dict(fields: Mapping[str, Any]) -> LoopMetrics:
    return _known(LoopMetrics, {**fields, "lag": _histogram(fields["lag"])})


def _slow_queue_from_dict(fields: Mapping[str, Any]) -> SlowQueueMetrics:
    queues = {name: _queue_from_dict(fields[name]) for name in QUEUES if name in fields}
    kept_waiting = tuple(_known(KeptWaiting, each) for each in fields.get("kept_waiting", ()))
    return _known(SlowQueueMetrics, {**fields, **queues, "kept_waiting": kept_waiting})


def _queue_from_dict(fields: Mapping[str, Any]) -> QueueMetrics:
    counts = {name: tuple(fields[name]) for name in ("queued", "served")}
    return _known(QueueMetrics, {**fields, **counts, "waits": _histogram(fields["waits"])})


def _histogram(buckets: Sequence[Mapping[str, int]]) -> Histogram:
    return Histogram(tuple((each["upper_ns"], each["count"]) for each in buckets))


def _with_stack(kind: type[Value], fields: Mapping[str, Any]) -> Value:
    return _known(kind, {**fields, "stack": tuple(_known(StackFrame, each) for each in fields["stack"])})


def _known(kind: type[Value], fields: Mapping[str, Any]) -> Value:
    names = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in fields.items() if name in names})
