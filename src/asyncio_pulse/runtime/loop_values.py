"""Reads the figures of one loop from its core, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncio_pulse import _core
from asyncio_pulse.metrics.code_places import is_wrapper
from asyncio_pulse.metrics.model import (
    Histogram,
    KeptWaiting,
    LoopMetrics,
    PreemptionMetrics,
    QueueMetrics,
    RefusedPlace,
    SlowQueueMetrics,
    StackFrame,
    Stall,
    WorstPoll,
)
from asyncio_pulse.metrics.slow_queue import QUEUES
from asyncio_pulse.runtime.stall_log import stall_of

__all__ = ["loop_metrics", "preemption", "slow_queue", "stalls", "worst_polls"]


def loop_metrics(governor: _core.Governor) -> LoopMetrics:
    """Return lag and utilisation of the loop. They are not `watched` if its turns cannot be seen."""
    turns = governor.turns()
    lag = Histogram(tuple(turns.pop("lag", ())))
    return LoopMetrics(worker_id=governor.worker_id, lag=lag, **turns)


def slow_queue(governor: _core.Governor) -> SlowQueueMetrics:
    """Return what waited in the slow queue, what was served, and how long it waited, since the loop was governed."""
    raw = governor.slow_queue()
    queues = {name: _queue_metrics(raw.pop(name)) for name in QUEUES}
    kept = (KeptWaiting(*names, *numbers) for names, numbers in raw.pop("kept_waiting").items())
    return SlowQueueMetrics(**{**raw, **queues, "kept_waiting": KeptWaiting.merge(kept)})


def _queue_metrics(raw: Mapping[str, Any]) -> QueueMetrics:
    return QueueMetrics(
        queued=raw["queued_by_priority"],
        served=raw["served_by_priority"],
        rescues=raw["rescues"],
        overflows=raw["overflows"],
        high_water_mark=raw["high_water_mark"],
        waits=Histogram(tuple(raw["wait_histogram"])),
    )


def stalls(governor: _core.Governor) -> list[Stall]:
    """Return the longest stall of each class at each place, with running ones, at most 64."""
    return [stall_of(raw) for raw in governor.stalls()]


def worst_polls(governor: _core.Governor) -> list[WorstPoll]:
    """Return the longest poll at each place that exceeded its budget or was slow, at most 64."""
    return [_worst_poll(raw) for raw in governor.worst_polls()]


def _worst_poll(raw: dict[str, Any]) -> WorstPoll:
    if not raw["stack"] and is_wrapper(raw["filename"]):
        # Nothing was seen of the application, whose route is the group.
        raw |= {"function": raw["group"], "filename": "", "line": 0}
    return WorstPoll(stack=tuple(StackFrame(*frame) for frame in raw.pop("stack")), **raw)


def preemption(governor: _core.Governor) -> PreemptionMetrics:
    """Return how often and how soon tasks were preempted, and where this was refused."""
    record = governor.preemption_record()
    places = (
        RefusedPlace(rule, function, filename, line, count)
        for (rule, function, filename, line), count in record["places"].items()
    )
    return PreemptionMetrics(
        preemptions=record["preemptions"],
        put_off=record["gave_up"],
        refused=record["refused"],
        places=tuple(sorted(places, key=lambda place: -place.count)),
        delay=Histogram(tuple(record["delay"])),
    )
