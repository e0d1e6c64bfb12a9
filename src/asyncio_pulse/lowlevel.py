"""The low-level door: budgets, accounts, measured values and clocks, for tools and tests."""

from __future__ import annotations

from asyncio_pulse._core import GovernedCoroutine, clock_info
from asyncio_pulse.metrics.model import (
    DerivedMetrics,
    GroupMetrics,
    Histogram,
    LoopMetrics,
    Metrics,
    ProcessReport,
    StackFrame,
    Stall,
    WorkerMetrics,
    WorstPoll,
)
from asyncio_pulse.policy.budget import TaskBudget
from asyncio_pulse.runtime.context import Account
from asyncio_pulse.runtime.ledger import process_report

__all__ = [
    "Account",
    "DerivedMetrics",
    "GovernedCoroutine",
    "GroupMetrics",
    "Histogram",
    "LoopMetrics",
    "Metrics",
    "ProcessReport",
    "StackFrame",
    "Stall",
    "TaskBudget",
    "WorkerMetrics",
    "WorstPoll",
    "clock_info",
    "process_report",
]
