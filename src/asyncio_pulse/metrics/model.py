"""Immutable values that describe what a governed loop did.

Counters are read from the core one at a time, each atomically, without stopping the worker: a snapshot taken while the
worker runs may show a poll in one counter and not yet in the next. All times are integer nanoseconds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from asyncio_pulse import _core
from asyncio_pulse.metrics.histogram import Histogram
from asyncio_pulse.metrics.lazily import Lazily
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
    "ProcessReport",
    "QueueMetrics",
    "RefusedPlace",
    "SlowQueueMetrics",
    "StackFrame",
    "Stall",
    "TaskInfo",
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


# In the order in which the core gives them.
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
    """Why the tier is what it is; empty as long as there was nothing to object to."""
    breaker: str = "closed"
    """Its circuit breaker: `closed`, `open` (parking made it wait too long: it is only observed) or `half-open` (it is
    parked again, on trial)."""
    breaker_trips: int = 0
    """How often the breaker opened since the configuration was last changed."""
    breaker_wait_ms: int = 0
    """The wait that opened it last, milliseconds."""

    @classmethod
    def _fields_from(cls, source: tuple[_core.Group, Mapping[str, object] | None, bytes]) -> Mapping[str, object]:
        """Read the group, what is known of its tier, and the core's numbers."""
        group, tier, raw = source
        numbers = memoryview(raw).cast("Q")
        counters = zip(_GROUP_COUNTERS, numbers[: len(_GROUP_COUNTERS)].tolist(), strict=True)
        [histogram] = Histogram.from_sources([numbers[len(_GROUP_COUNTERS) :]])
        named = {"name": group.name, "explicit": group.explicit, "histogram": histogram}
        return {**_NEVER_JUDGED, **named, **dict(counters), **(tier or {})}

    @property
    def p50_ns(self) -> int:
        """Median wall time of a poll (never above the longest one seen)."""
        return min(self.histogram.percentile(50), self.max_ns)

    @property
    def p99_ns(self) -> int:
        """99th percentile of the wall time of a poll (never above the longest one seen)."""
        return min(self.histogram.percentile(99), self.max_ns)


@dataclasses.dataclass(frozen=True, slots=True)
class StackFrame:
    """One line of Python that was on a stack."""

    function: str
    filename: str
    line: int


@dataclasses.dataclass(frozen=True, slots=True)
class WorstPoll:
    """The longest poll seen at one place; polls of the same group at the same place are one entry."""

    group: str
    task: str
    function: str
    filename: str
    line: int
    wall_ns: int
    cpu_ns: int
    gc_ns: int
    count: int
    """How many polls past their alarm were seen at this place, >= 1."""
    total_wall_ns: int
    """Their wall time together."""
    stack: tuple[StackFrame, ...] = ()
    """Innermost frame first, captured while a poll at this place was running; empty if none was caught running, and
    then `function`, `filename`, `line` say where the coroutine is defined."""

    @property
    def sampled(self) -> bool:
        """Whether the place was seen while the poll ran, rather than inferred from the coroutine."""
        return bool(self.stack)


@dataclasses.dataclass(frozen=True, slots=True)
class Stall:
    """The longest stall of one class at one place: the loop did not come back to its selector, whatever ran.

    Classes: `on-cpu` (it computed), `blocked` (it slept in a call that let go of the GIL), `gil` (another thread had the
    GIL), `processor` (it was ready to run and had no processor), `collecting` (the garbage collector ran), `spinning` (it
    went round without ever waiting), `importing` (it computed or blocked while it imported modules), `unknown` (the
    platform does not tell).
    """

    group: str
    """Group of the task that was running; `(callbacks)` if what ran was no task."""
    task: str
    """Name of that task, or empty."""
    function: str
    filename: str
    line: int
    stall_class: str
    culprit: str
    """The thread that had the GIL, and where it was, if that is evident; else `another thread, not known
    which`. Empty for other classes."""
    wall_ns: int
    gil_held_ns: int
    """How long the stalled thread itself kept the GIL while the watchdog asked for it: far more than 10 ms means a C call
    that does not let go of it."""
    count: int
    total_wall_ns: int
    stack: tuple[StackFrame, ...] = ()
    """Innermost frame first, captured during the stall."""


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
"""What kept a loop, by the class of its stall."""

TIER_NAMES = ("Monitor", "Warn", "Yield", "Isolate")


@dataclasses.dataclass(frozen=True, slots=True)
class LoopTiers:
    """What the tiers of one loop may do."""

    worker_id: int
    mode: str = "act"
    """`off`, `observe` or `act`."""
    promotion_frozen: bool = False
    """Whether nobody is promoted at the moment, because the machine must be at fault."""
    freezes: int = 0
    """How often promotion froze since the loop was governed."""
    open_breakers: int = 0
    """Groups that are only observed because parking made them wait too long."""


@dataclasses.dataclass(frozen=True, slots=True)
class TierChange:
    """An account, of a task or of an explicit group, came to another tier."""

    at_ns: int
    """When: nanoseconds since the epoch."""
    worker_id: int
    account: str
    """`task` or `group`."""
    name: str
    """Of the group; of a task the qualified name of its coroutine."""
    group: str
    before: int
    after: int
    """Tiers, 0 (monitor) to 3 (isolate)."""
    reason: str
    mode: str
    """`act` or `observe`."""
    acted: bool
    """Whether the tier is acted upon, rather than only observed."""
    held_ms: int = 0
    """How long the account was at the tier before, milliseconds."""
    wall_ns: int = 0
    cpu_ns: int = 0
    """Of the poll that decided it; 0 if none did."""
    function: str = ""
    filename: str = ""
    line: int = 0
    stack: tuple[StackFrame, ...] = ()
    """Innermost frame first, captured during that poll; empty if it was not caught running, and then `function`,
    `filename`, `line` say where the coroutine is defined."""
    count: int = 1
    """How many changes this one stands for: in the audit ring the newest of those of tasks of one name, group and step
    stands for all, in a report also that of groups; in events, hooks and the log each stands for itself."""

    def __str__(self) -> str:
        """Say it in a sentence."""
        text = (
            f"{self.account} {self.name} went from {TIER_NAMES[self.before]} to {TIER_NAMES[self.after]}: {self.reason}"
        )
        if self.wall_ns:
            text += f"; its last poll took {self.wall_ns / 1e6:.1f} ms, {self.cpu_ns / 1e6:.1f} ms of it on the CPU"
        if self.function:
            text += f", {'in' if self.stack else 'somewhere in'} {self.function} ({self.filename}:{self.line})"
        return text if self.acted else f"{text} (only observed)"


@dataclasses.dataclass(frozen=True, slots=True)
class TaskInfo:
    """One live governed task."""

    task_id: int
    """Number that names it to hooks."""
    name: str
    coroutine: str
    group: str
    """Empty before its first poll."""
    explicit_group: bool
    priority: int
    """0 (critical) to 3 (low)."""
    tier: int
    """In force: the higher of its own and its explicit group's, capped; 0..3."""
    tier_reason: str
    polls: int
    violations: int
    slow_polls: int
    cpu_time_ns: int
    wall_time_ns: int


@dataclasses.dataclass(frozen=True, slots=True)
class LoopMetrics:
    """How a loop keeps up: its turns, its lag, its utilisation."""

    worker_id: int
    turns: int = 0
    busy_ns: int = 0
    """Time not spent waiting."""
    watched_ns: int = 0
    """Time since the loop was watched; 0 if it is a kind of loop whose turns cannot be watched."""
    max_lag_ns: int = 0
    lag: Histogram = Histogram()
    """On asyncio the lengths of the turns, which is how long a timer that is due may have to wait; on uvloop how late a
    timer came that fires every 50 ms."""

    @property
    def watched(self) -> bool:
        """Whether the turns of the loop are seen; if not, nothing is known, and the other figures are 0."""
        return self.watched_ns > 0

    @property
    def utilisation_ratio(self) -> float:
        """Busy time over all time, 0..1, as Node's event-loop utilisation."""
        return min(1.0, self.busy_ns / self.watched_ns) if self.watched_ns else 0.0

    @property
    def p50_lag_ns(self) -> int:
        """Median lag."""
        return min(self.lag.percentile(50), self.max_lag_ns)

    @property
    def p99_lag_ns(self) -> int:
        """99th percentile of the lag."""
        return min(self.lag.percentile(99), self.max_lag_ns)


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
    """Polls at Yield or above that were let run, because tiers are only observed."""
    preemptions: int = 0
    """How often a task was suspended without its doing."""
    would_preempt: int = 0
    """Polls beyond their budget that might have been cut short, but tiers are only observed."""
    internal_errors: int = 0
    """Faults inside asyncio-pulse that were contained; anything but 0 is a bug worth reporting."""


@dataclasses.dataclass(frozen=True, slots=True)
class RefusedPlace:
    """Where a task was not suspended although its budget was used up, time and again."""

    rule: str
    """Why: `instruction`, `c_code`, `critical`, `module`, `guarded`, `traced` or `greenlet`; see the guide."""
    function: str
    filename: str
    line: int
    count: int
    """How many requests were put off there, >= 1."""


@dataclasses.dataclass(frozen=True, slots=True)
class PreemptionMetrics:
    """What came of preemption on one loop."""

    preemptions: int = 0
    put_off: int = 0
    """Requests for which no safe place was found in a while; they are repeated."""
    refused: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Attempts refused, by rule; most are followed by one that succeeds within microseconds."""
    places: tuple[RefusedPlace, ...] = ()
    """Where requests were put off, most often first."""
    delay: Histogram = Histogram()
    """From the end of the budget to the suspension."""


@dataclasses.dataclass(frozen=True, slots=True)
class DerivedMetrics:
    """Ratios and means computed from `Metrics`; each is 0.0 when nothing was counted yet."""

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
class ProcessReport:
    """Everything one process has to tell; what `reports` print and the JSON file holds.

    In the report of a run one of them may stand for several processes with one command line: its figures are their sums.
    """

    pid: int
    """Of the first one, if there are several."""
    argv: tuple[str, ...]
    python: str
    clock: str
    loops: int
    """Loops governed, closed ones included."""
    metrics: Metrics
    workers: Mapping[int, WorkerMetrics]
    groups: tuple[GroupMetrics, ...]
    """Most wall time first."""
    worst_polls: tuple[WorstPoll, ...]
    """Most time in all first."""
    loop_metrics: tuple[LoopMetrics, ...] = ()
    """Lag and utilisation, by worker."""
    stalls: tuple[Stall, ...] = ()
    """Most time in all first."""
    loop_tiers: tuple[LoopTiers, ...] = ()
    """Mode and freezes, by worker."""
    tier_changes: tuple[TierChange, ...] = ()
    """Newest first."""
    tasks: tuple[TaskInfo, ...] = ()
    """Live tasks above Monitor, highest tier first."""
    slow_queue: SlowQueueMetrics = SlowQueueMetrics()
    """Of all loops together."""
    preemption: PreemptionMetrics = PreemptionMetrics()
    processes: int = 1
    """For how many processes it stands."""
    pids: tuple[int, ...] = ()
    """Their ids, the first 32 of them; empty if it is one process."""
