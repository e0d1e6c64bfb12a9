"""The low-level door: budgets, hooks, the slow queue and clocks, for tools."""

from __future__ import annotations

from asyncio_pulse._core import CpuTimer, Flow, GovernedCoroutine, SlowQueue, clock_info
from asyncio_pulse.policy.budget import TaskBudget
from asyncio_pulse.runtime.discipline import Discipline
from asyncio_pulse.runtime.events import TierEvents
from asyncio_pulse.runtime.hooks import HookRegistry, PreemptionHooks
from asyncio_pulse.runtime.ledger import process_report
from asyncio_pulse.runtime.manager import TierManager
from asyncio_pulse.runtime.manual import PollResult, TaskContext
from asyncio_pulse.runtime.task_options import TaskView

__all__ = [
    "CpuTimer",
    "Discipline",
    "Flow",
    "GovernedCoroutine",
    "HookRegistry",
    "PollResult",
    "PreemptionHooks",
    "SlowQueue",
    "TaskBudget",
    "TaskContext",
    "TaskView",
    "TierEvents",
    "TierManager",
    "clock_info",
    "create_cpu_timer",
    "process_report",
]


def create_cpu_timer() -> CpuTimer:
    """Return a calibrated timer that measures the CPU time of the thread that reads it.

    The clock is `CLOCK_THREAD_CPUTIME_ID` on Linux, `thread_info` on macOS and `GetThreadTimes` on Windows. On other
    platforms all time counts as CPU time, and `platform_name` is `fallback`. Real macOS and Windows are untested.
    """
    return CpuTimer()
