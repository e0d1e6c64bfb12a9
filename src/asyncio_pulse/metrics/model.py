"""Immutable values that describe what a governed loop did.

Counters are read from the core one at a time, each atomically, without stopping the worker. A snapshot of a running worker
may therefore show a poll in one counter and not yet in the next. All times are integer nanoseconds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from asyncio_pulse import _core
from asyncio_pulse.metrics.histogram import Histogram
from asyncio_pulse.metrics.lazily import Lazily
from asyncio_pulse.metrics.loops import LoopMetrics
from asyncio_pulse.metrics.slow_queue import KeptWaiting, QueueMetrics, SlowQueueMetrics

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


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerMetrics:
    """Counters of one worker since its loop was governed, or since `reset_worker_stats`."""

    worker_id: int
    polls: int = 0
    violations: int = 0
    slow_polls: int = 0
    forced_yields: int = 0
    voluntary_yields: int = 0
    cpu_time_ns: int = 0
    wall_time_ns: int = 0
    gc_time_ns: int = 0
    tasks: int = 0
    """Governed tasks started."""
    tasks_alive: int = 0
    """Governed tasks not yet finished; never reset."""


# In the order of the core.
_GROUP_COUNTERS = (
    "polls",
    "wall_time_ns",
    "cpu_time_ns",
    "gc_time_ns",
    "violations",
    "slow_polls",
    "forced_yields",
    "max_ns",
    "tasks",
    "tasks_alive",
)
_NEVER_JUDGED = {"tier": 0, "tier_reason": "", "breaker": "closed", "breaker_trips": 0, "breaker_wait_ms": 0}


@dataclasses.dataclass(frozen=True, slots=True)
class GroupMetrics(Lazily):
    """Counters of one group of one loop."""

    name: str
    explicit: bool = False
    tasks: int = 0
    tasks_alive: int = 0
    polls: int = 0
    violations: int = 0
    slow_polls: int = 0
    forced_yields: int = 0
    cpu_time_ns: int = 0
    wall_time_ns: int = 0
    gc_time_ns: int = 0
    max_ns: int = 0
    """Longest poll, wall time."""
    histogram: Histogram = Histogram()
    tier: int = 0
    """0 (monitor) to 3 (isolate); implicit groups stay at 0."""
    tier_reason: str = ""
    """Why the account has this tier; empty until its first offence."""
    breaker: str = "closed"
    """State of the group's circuit breaker.

    `closed`: parked as its tier says. `open`: only observed, because parking made the group wait too long.
    `half-open`: parked again, on trial.
    """
    breaker_trips: int = 0
    """How often the breaker opened since the configuration was last changed."""
    breaker_wait_ms: int = 0
    """The wait that last opened the breaker, milliseconds."""

    @classmethod
    def _fields_from(cls, source: tuple[_core.Group, Mapping[str, object] | None, bytes]) -> Mapping[str, object]:
        """Read the group, its known tier and the core's numbers."""
        group, tier, raw = source
        numbers = memoryview(raw).cast("Q")
        counters = zip(_GROUP_COUNTERS, numbers[: len(_GROUP_COUNTERS)].tolist(), strict=True)
        [histogram] = Histogram.from_sources([numbers[len(_GROUP_COUNTERS) :]])
        named = {"name": group.name, "explicit": group.explicit, "histogram": histogram}
        return {**_NEVER_JUDGED, **named, **dict(counters), **(tier or {})}

    @property
    def p50_ns(self) -> int:
        """Median wall time of a poll, capped at the longest one seen."""
        return min(self.histogram.percentile(50), self.max_ns)

    @property
    def p99_ns(self) -> int:
        """99th percentile of the wall time of a poll, capped at the longest one seen."""
        return min(self.histogram.percentile(99), self.max_ns)


@dataclasses.dataclass(frozen=True, slots=True)
class StackFrame:
    """One frame of a Python stack."""

    function: str
    filename: str
    line: int


@dataclasses.dataclass(frozen=True, slots=True)
class WorstPoll:
    """The longest poll seen at one place. All polls of one group at one place share an entry."""

    group: str
    task: str
    function: str
    filename: str
    line: int
    wall_ns: int
    cpu_ns: int
    gc_ns: int
    count: int
    """Number of polls past their alarm at this place, >= 1."""
    total_wall_ns: int
    """Total wall time of these polls."""
    stack: tuple[StackFrame, ...] = ()
    """The stack during a poll at this place, innermost frame first.

    Empty if no such poll was sampled. `function`, `filename` and `line` then give the coroutine's definition.
    """

    @property
    def sampled(self) -> bool:
        """Whether the place was seen during a poll, rather than inferred from the coroutine."""
        return bool(self.stack)


@dataclasses.dataclass(frozen=True, slots=True)
class Stall:
    """The longest stall of one class at one place: the loop was late to its selector, whatever ran.

    Classes:
        `on-cpu`: It computed.
        `blocked`: It slept in a call that had released the GIL; if `within_ns` is set, in many short ones.
        `gil`: Another thread held the GIL.
        `processor`: It was ready to run and had no processor.
        `collecting`: The garbage collector ran.
        `spinning`: It ran turn after turn without ever waiting.
        `importing`: It computed or blocked while it imported modules.
        `unknown`: The platform does not report the cause.
    """

    group: str
    """Group of the task that was running; `(callbacks)` if no task was."""
    task: str
    """Name of that task; empty if no task was running."""
    function: str
    filename: str
    line: int
    stall_class: str
    culprit: str
    """The thread that held the GIL, with its place; else `another thread, not known which`.

    Empty for other classes.
    """
    wall_ns: int
    gil_held_ns: int
    """How long the stalled thread itself kept the GIL while the watchdog was asking for it.

    Far more than 10 ms means a C call that does not release the GIL.
    """
    count: int
    total_wall_ns: int
    stack: tuple[StackFrame, ...] = ()
    """Innermost frame first, captured during the stall.

    Empty if the stack could not be captured in time. `function`, `filename` and `line` then give the definition of the
    coroutine that took most of the stall.
    """
    within_ns: int = 0
    """For many short calls together: the time within which they blocked the loop for `wall_ns`. 0 for one stall."""

    @property
    def sampled(self) -> bool:
        """Whether the place was seen during the stall, rather than inferred from the coroutine."""
        return bool(self.stack)


STALL_WORDS = {
    "on-cpu": "computing",
    "blocked": "blocked in a call",
    "gil": "waiting for the GIL, which another thread had",
    "processor": "ready to run, but without a processor",
    "collecting": "collecting garbage",
    "importing": "importing modules",
    "spinning": "going round without ever waiting",
    "unknown": "for a reason that this platform does not tell",
}
"""What kept the loop from its selector, by class of stall."""

TIER_NAMES = ("Monitor", "Warn", "Yield", "Isolate")


@dataclasses.dataclass(frozen=True, slots=True)
class LoopTiers:
    """State of the tiers of one loop."""

    worker_id: int
    mode: str = "act"
    """`off`, `observe` or `act`."""
    promotion_frozen: bool = False
    """Whether promotion is frozen now, because the machine must be at fault."""
    freezes: int = 0
    """How often promotion froze since the loop was governed."""
    open_breakers: int = 0
    """Number of groups that are only observed because parking made them wait too long."""
    anywhere: tuple[str, ...] = ()
    """Patterns of the groups whose tasks may be preempted anywhere; `*` first if the configuration allows it for all."""


@dataclasses.dataclass(frozen=True, slots=True)
class TierChange:
    """One change of an account's tier. The account is a task's or an explicit group's."""

    at_ns: int
    """Time of the change, nanoseconds since the epoch."""
    worker_id: int
    account: str
    """`task` or `group`."""
    name: str
    """Name of the group, or qualified name of the task's coroutine."""
    group: str
    before: int
    after: int
    """Tiers, 0 (monitor) to 3 (isolate)."""
    reason: str
    mode: str
    """`act` or `observe`."""
    acted: bool
    """Whether the tier takes effect. False means that it is only observed."""
    held_ms: int = 0
    """Time that the account spent at its previous tier, milliseconds."""
    wall_ns: int = 0
    cpu_ns: int = 0
    """Wall and CPU time of the poll that caused the change; 0 if no poll did."""
    function: str = ""
    filename: str = ""
    line: int = 0
    stack: tuple[StackFrame, ...] = ()
    """The stack during that poll, innermost frame first.

    Empty if the poll was not sampled. `function`, `filename` and `line` then give the coroutine's definition.
    """
    count: int = 1
    """How many changes this record stands for.

    In the audit ring the newest change of tasks stands for all with the same name, group and step. A report also joins the
    changes of groups. In events, hooks and the log every change stands for itself.
    """

    def __str__(self) -> str:
        """Describe the change in one sentence."""
        text = (
            f"{self.account} {self.name} went from {TIER_NAMES[self.before]} to {TIER_NAMES[self.after]}: {self.reason}"
        )
        if self.wall_ns:
            text += f"; its last poll took {self.wall_ns / 1e6:.1f} ms, {self.cpu_ns / 1e6:.1f} ms of it on the CPU"
        if self.function:
            place = f" ({self.filename}:{self.line})" if self.filename else ""
            text += f", {'in' if self.stack else 'somewhere in'} {self.function}{place}"
        return text if self.acted else f"{text} (only observed)"


@dataclasses.dataclass(frozen=True, slots=True)
class TaskMetrics:
    """Counters of one task or call so far, without the running poll."""

    polls: int
    violations: int
    slow_polls: int
    forced_yields: int
    cpu_time_ns: int
    wall_time_ns: int
    gc_time_ns: int


@dataclasses.dataclass(frozen=True, slots=True)
class TaskInfo:
    """One live governed task."""

    task_id: int
    """Number by which hooks identify the task."""
    name: str
    coroutine: str
    group: str
    """Empty before its first poll."""
    explicit_group: bool
    priority: int
    """0 (critical) to 3 (low)."""
    tier: int
    """The tier in force, 0..3: the higher of the task's and its explicit group's, capped."""
    tier_reason: str
    polls: int
    violations: int
    slow_polls: int
    cpu_time_ns: int
    wall_time_ns: int


@dataclasses.dataclass(frozen=True, slots=True)
class Metrics:
    """Counters of one governed loop since it was governed."""

    polls: int = 0
    violations: int = 0
    slow_polls: int = 0
    forced_yields: int = 0
    voluntary_yields: int = 0
    cpu_time_ns: int = 0
    wall_time_ns: int = 0
    gc_time_ns: int = 0
    tasks: int = 0
    tasks_alive: int = 0
    groups: int = 0
    uptime_ns: int = 0
    """Wall time since the loop was governed."""
    would_park: int = 0
    """Polls at Yield or above that ran at once, because tiers are only observed."""
    preemptions: int = 0
    """How often a task was preempted."""
    would_preempt: int = 0
    """Polls over their budget that preemption might have cut short, but tiers are only observed."""
    internal_errors: int = 0
    """Faults inside asyncio-pulse that were contained. Any value but 0 is a bug worth reporting."""


@dataclasses.dataclass(frozen=True, slots=True)
class RefusedPlace:
    """A place where a task was repeatedly not suspended although its budget was used up."""

    rule: str
    """The reason: `instruction`, `c_code`, `critical`, `module`, `guarded`, `traced` or `greenlet`; see the guide."""
    function: str
    filename: str
    line: int
    count: int
    """Number of requests put off at this place, >= 1."""


@dataclasses.dataclass(frozen=True, slots=True)
class PreemptionMetrics:
    """Results of preemption on one loop."""

    preemptions: int = 0
    put_off: int = 0
    """Requests that found no safe place for a while. They are repeated."""
    refused: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Refused attempts, by rule. Most of them are followed by a successful one within microseconds."""
    places: tuple[RefusedPlace, ...] = ()
    """Places where requests were put off, most frequent first."""
    delay: Histogram = Histogram()
    """Delay from the end of the budget to the suspension."""


@dataclasses.dataclass(frozen=True, slots=True)
class DerivedMetrics:
    """Ratios and means computed from `Metrics`; each is 0.0 while its counters are 0."""

    mean_poll_us: float
    """Wall time of a poll, microseconds."""
    violation_ratio: float
    """Violations per poll, 0..1."""
    slow_poll_ratio: float
    """Slow polls per poll, 0..1."""
    voluntary_yield_ratio: float
    """Bare yields per poll, 0..1."""
    utilisation_ratio: float
    """Wall time in polls over uptime, 0..1."""
    cpu_ratio: float
    """CPU time over wall time in polls, 0..1."""
    polls_per_second: float
    tasks_per_second: float

    @classmethod
    def of(cls, metrics: Metrics) -> DerivedMetrics:
        """Derive the ratios from one snapshot."""

        def ratio(part: float, whole: float) -> float:
            return part / whole if whole else 0.0

        seconds = metrics.uptime_ns / 1e9
        return cls(
            mean_poll_us=ratio(metrics.wall_time_ns / 1e3, metrics.polls),
            violation_ratio=ratio(metrics.violations, metrics.polls),
            slow_poll_ratio=ratio(metrics.slow_polls, metrics.polls),
            voluntary_yield_ratio=ratio(metrics.voluntary_yields, metrics.polls),
            utilisation_ratio=ratio(metrics.wall_time_ns, metrics.uptime_ns),
            cpu_ratio=ratio(metrics.cpu_time_ns, metrics.wall_time_ns),
            polls_per_second=ratio(metrics.polls, seconds),
            tasks_per_second=ratio(metrics.tasks, seconds),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """Everything measured on one loop, in one process, or in several processes with the same command line.

    The printed reports and the JSON file consist of these. Figures of several loops or processes are sums.
    """

    pid: int
    """Process id; that of the first process if there are several."""
    argv: tuple[str, ...]
    python: str
    clock: str
    loops: int
    """Number of governed loops, including closed ones."""
    metrics: Metrics
    workers: Mapping[int, WorkerMetrics]
    groups: tuple[GroupMetrics, ...]
    """Most wall time first."""
    worst_polls: tuple[WorstPoll, ...]
    """Most total time first."""
    loop_metrics: tuple[LoopMetrics, ...] = ()
    """Lag and utilisation, by worker."""
    stalls: tuple[Stall, ...] = ()
    """Most total time first."""
    loop_tiers: tuple[LoopTiers, ...] = ()
    """Mode and freezes, by worker."""
    tier_changes: tuple[TierChange, ...] = ()
    """Newest first."""
    tasks: tuple[TaskInfo, ...] = ()
    """Live tasks above Monitor, highest tier first."""
    slow_queue: SlowQueueMetrics = SlowQueueMetrics()
    """Sums over all loops."""
    preemption: PreemptionMetrics = PreemptionMetrics()
    processes: int = 1
    """Number of processes that this report stands for."""
    pids: tuple[int, ...] = ()
    """Ids of these processes, the first 32 of them; empty for a single process."""
