"""The door of measured values: what `manager.report()` and the other reading methods return, all of it frozen."""

from __future__ import annotations

from asyncio_pulse.metrics.model import (
    DerivedMetrics,
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
    TaskMetrics,
    TierChange,
    WorkerMetrics,
    WorstPoll,
)

__all__ = [
    "DerivedMetrics",
    "GroupMetrics",
    "Histogram",
    "KeptWaiting",
    "LoopMetrics",
    "LoopTiers",
    "Metrics",
    "PreemptionMetrics",
    "QueueMetrics",
    "RefusedPlace",
    "Report",
    "SlowQueueMetrics",
    "StackFrame",
    "Stall",
    "TaskInfo",
    "TaskMetrics",
    "TierChange",
    "WorkerMetrics",
    "WorstPoll",
]
