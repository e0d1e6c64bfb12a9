"""Random process reports, as consistent as real ones need to be for their forms."""

from __future__ import annotations

from hypothesis import strategies as st

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

# Names come from users: any text, control characters and lone surrogates of undecodable file names included.
names = st.text(st.characters(exclude_categories=()), max_size=120)
numbers = st.integers(0, 10**14)  # in ns: a day
tiers = st.integers(0, 3)
frames = st.builds(StackFrame, names, names, numbers)
histograms = st.dictionaries(st.integers(1, 10**14), st.integers(1, 10**12), max_size=3).map(
    lambda buckets: Histogram(tuple(sorted(buckets.items())))
)


def numbers_of(kind: type, **others: st.SearchStrategy) -> st.SearchStrategy:
    """Build a record whose every field is a number, save for the others.

    They are 0 or each one more than the field before, so that none can be taken for another; a draw for each of them
    would take ten times as long.
    """
    counters = [name for name in kind.__dataclass_fields__ if name not in others]

    def build(first: int, zeros: int, **drawn: object) -> object:
        counted = {name: 0 if zeros >> place & 1 else first + place for place, name in enumerate(counters)}
        return kind(**counted, **drawn)

    return st.builds(build, numbers, st.integers(0, 2 ** len(counters) - 1), **others)


groups = numbers_of(
    GroupMetrics, name=names, explicit=st.booleans(), histogram=histograms, tier=tiers, tier_reason=names
)
worst_polls = numbers_of(
    WorstPoll,
    group=names,
    task=names,
    function=names,
    filename=names,
    stack=st.lists(frames, max_size=3).map(tuple),
)
loops = numbers_of(LoopMetrics, lag=histograms)
stalls = numbers_of(
    Stall,
    group=names,
    task=names,
    function=names,
    filename=names,
    stall_class=st.sampled_from(["on-cpu", "blocked", "gil", "processor", "collecting", "spinning", "unknown"]) | names,
    culprit=names,
    stack=st.lists(frames, max_size=3).map(tuple),
)
loop_tiers = numbers_of(
    LoopTiers,
    mode=st.sampled_from(["off", "observe", "act"]),
    promotion_frozen=st.booleans(),
    anywhere=st.lists(names, max_size=2).map(tuple),
)
tier_changes = numbers_of(
    TierChange,
    account=st.sampled_from(["task", "group"]),
    name=names,
    group=names,
    before=tiers,
    after=tiers,
    reason=names,
    mode=st.sampled_from(["observe", "act"]),
    acted=st.booleans(),
    function=names,
    filename=names,
    stack=st.lists(frames, max_size=2).map(tuple),
)
tasks = numbers_of(
    TaskInfo,
    name=names,
    coroutine=names,
    group=names,
    explicit_group=st.booleans(),
    priority=tiers,
    tier=tiers,
    tier_reason=names,
)
by_priority = st.tuples(*[numbers] * 4)
queues = numbers_of(QueueMetrics, queued=by_priority, served=by_priority, waits=histograms)
slow_queues = numbers_of(
    SlowQueueMetrics,
    queue=queues,
    isolated=queues,
    overlong_turns=queues,
    kept_waiting=st.lists(numbers_of(KeptWaiting, waiter=names, holder=names, group=names), max_size=3).map(tuple),
)
workers = st.lists(numbers_of(WorkerMetrics), max_size=3).map(
    lambda found: {worker.worker_id: worker for worker in found}
)
refused_places = numbers_of(
    RefusedPlace, rule=st.sampled_from(["c_code", "module"]) | names, function=names, filename=names
)
preemption = numbers_of(
    PreemptionMetrics,
    refused=st.dictionaries(names, numbers, max_size=3),
    places=st.lists(refused_places, max_size=3).map(tuple),
    delay=histograms,
)
process_reports = st.builds(
    Report,
    pid=numbers,
    argv=st.lists(names, max_size=4).map(tuple),
    python=names,
    clock=names,
    loops=numbers,
    metrics=numbers_of(Metrics),
    workers=workers,
    groups=st.lists(groups, max_size=3).map(tuple),
    worst_polls=st.lists(worst_polls, max_size=2).map(tuple),
    loop_metrics=st.lists(loops, max_size=2).map(tuple),
    stalls=st.lists(stalls, max_size=2).map(tuple),
    loop_tiers=st.lists(loop_tiers, max_size=2).map(tuple),
    tier_changes=st.lists(tier_changes, max_size=2).map(tuple),
    tasks=st.lists(tasks, max_size=2).map(tuple),
    slow_queue=slow_queues,
    preemption=preemption,
    processes=st.integers(1, 10**6),
    pids=st.lists(numbers, max_size=3).map(tuple),
)
