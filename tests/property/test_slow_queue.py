"""The slow queue against a model: nothing is lost, doubled, out of order or starved, whatever is done to it."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from asyncio_pulse.config import SchedulingAlgorithm
from asyncio_pulse.lowlevel import Flow, SlowQueue

MS = 1_000_000
THRESHOLD_MS = 100
GROUPS = "abc"
FLOWS = 4 * len(GROUPS)
FlowName = tuple[int, str]

priorities, groups = st.integers(0, 3), st.sampled_from(GROUPS)
native = st.sampled_from(SchedulingAlgorithm)


class FewestQueued:
    """A discipline that starves whom it can."""

    def choose(self, flows: Sequence[Flow], /) -> Flow:
        return min(flows, key=lambda flow: (flow.queued, flow.group))


@dataclasses.dataclass(eq=False)
class Item:
    flow: FlowName
    holder: bool
    urgent: bool


@dataclasses.dataclass
class ModelFlow:
    """What waits, in order; since when; and how many slices others had while it was overdue."""

    holders: deque[Item] = dataclasses.field(default_factory=deque)
    plain: deque[Item] = dataclasses.field(default_factory=deque)
    since_ns: int = 0
    passed_over: int = 0

    @property
    def waits(self) -> bool:
        return bool(self.holders or self.plain)


class SlowQueueMachine(RuleBasedStateMachine):
    @initialize(algorithm=native, max_size=st.integers(1, 60), seed=st.integers(0, 2**64 - 1))
    def make(self, algorithm: SchedulingAlgorithm, max_size: int, seed: int) -> None:
        self.queue = SlowQueue[Item](
            algorithm,
            max_size=max_size,
            seed=seed,
            starvation_threshold_ms=THRESHOLD_MS,
            quantum_us=(400, 300, 200, 100),
        )
        self.max_size, self.now_ns, self.slices, self.overflows = max_size, 0, 0, 0
        self.urgent = deque[Item]()
        self.flows: dict[FlowName, ModelFlow] = {}
        self.released: list[Item] = []

    def size(self) -> int:
        return len(self.urgent) + sum(len(flow.holders) + len(flow.plain) for flow in self.flows.values())

    def lane(self, item: Item) -> deque[Item]:
        if item.urgent:
            return self.urgent
        flow = self.flows.setdefault(item.flow, ModelFlow())
        return flow.holders if item.holder else flow.plain

    @rule(
        flow=st.tuples(priorities, groups),
        holder=st.sampled_from([False, False, True]),
        urgent=st.sampled_from([False, False, False, True]),
        cost_us=st.none() | st.integers(0, 2**32 - 1),
        copies=st.integers(1, 20),
    )
    def enqueue(self, flow: FlowName, holder: bool, urgent: bool, cost_us: int | None, copies: int) -> None:
        for _ in range(copies):
            item, has_room = Item(flow, holder, urgent), self.size() < self.max_size
            taken = self.queue.enqueue(
                item, priority=flow[0], group=flow[1], holder=holder, urgent=urgent, cost_us=cost_us, now_ns=self.now_ns
            )
            assert taken == has_room
            if not taken:
                self.overflows += 1
                continue
            lane = self.lane(item)
            if not urgent and not self.flows[flow].waits:
                self.flows[flow] = ModelFlow(since_ns=self.now_ns)
                lane = self.lane(item)
            lane.append(item)

    @rule(milliseconds=st.integers(0, 3 * THRESHOLD_MS))
    def let_time_pass(self, milliseconds: int) -> None:
        self.now_ns += milliseconds * MS

    @rule(slices=st.integers(1, 40))
    def release(self, slices: int) -> None:
        for _ in range(slices):
            rescues_before, size_before = self.queue.stats()["rescues"], self.size()
            batch = self.queue.process_batch(1, now_ns=self.now_ns)
            assert len(batch) == min(size_before, 1)
            for item in batch:
                self.check_release(item, self.queue.stats()["rescues"] > rescues_before)
                self.released.append(item)

    def check_release(self, item: Item, rescued: bool) -> None:
        """Check that this item, just released, was allowed to be the next one, and take it out of the model."""
        assert item.urgent or not self.urgent
        assert self.lane(item).popleft() is item
        if item.urgent:
            return
        flow = self.flows[item.flow]
        if not item.holder:
            assert not flow.holders
            others = [other for (priority, _), other in self.flows.items() if priority == item.flow[0]]
            assert rescued or not any(other.holders for other in others)
        waited_longest = min(each.since_ns for each in self.flows.values() if each.waits or each is flow)
        assert not rescued or flow.since_ns == waited_longest <= self.now_ns - THRESHOLD_MS * MS
        flow.since_ns, flow.passed_over = self.now_ns, 0
        self.slices += 1
        for other in self.flows.values():
            overdue = other is not flow and other.waits and self.now_ns - other.since_ns >= THRESHOLD_MS * MS
            other.passed_over = other.passed_over + 1 if overdue else 0
            # At worst all others are rescued first, each after nine other slices.
            assert other.passed_over <= 10 * FLOWS

    @rule(flow=st.tuples(priorities, groups), used_us=st.integers(0, 2_000) | st.integers(0, 2**63 - 1))
    def charge(self, flow: FlowName, used_us: int) -> None:
        self.queue.charge(flow, used_us)

    @precondition(lambda self: self.size() > 0)
    @rule(data=st.data(), promote=st.booleans())
    def remove_or_promote(self, data: st.DataObject, promote: bool) -> None:
        waiting = [*self.urgent, *(item for flow in self.flows.values() for item in (*flow.holders, *flow.plain))]
        item = data.draw(st.sampled_from(waiting))
        if not promote:
            assert self.queue.remove(item)
            self.lane(item).remove(item)
            return
        assert self.queue.promote(item)
        if not item.urgent and not item.holder:
            self.lane(item).remove(item)
            item.holder = True
            self.lane(item).append(item)

    @precondition(lambda self: self.released)
    @rule()
    def what_left_is_not_there(self) -> None:
        assert not self.queue.remove(self.released[-1])
        assert not self.queue.promote(self.released[-1])

    @rule(algorithm=native | st.builds(FewestQueued))
    def change_the_discipline(self, algorithm: SchedulingAlgorithm | FewestQueued) -> None:
        self.queue.algorithm = algorithm

    @invariant()
    def everything_is_counted(self) -> None:
        stats = self.queue.stats()
        assert len(self.queue) == stats["queued"] == self.size() <= stats["high_water_mark"] <= self.max_size
        queued = Counter(item.flow[0] for item in self.urgent)
        for (priority, _), flow in self.flows.items():
            queued[priority] += len(flow.holders) + len(flow.plain)
        assert self.queue.queued_by_priority == tuple(queued[priority] for priority in range(4))
        assert sum(stats["served_by_priority"]) == len(self.released)
        assert sum(count for _, count in stats["wait_histogram"]) == len(self.released)
        assert stats["overflows"] == self.overflows
        assert stats["rescues"] <= 1 + self.slices / 10
        shown = {(flow.priority, flow.group): flow.queued for flow in self.queue.flows() if flow.queued}
        assert shown == {name: len(flow.holders) + len(flow.plain) for name, flow in self.flows.items() if flow.waits}

    def teardown(self) -> None:
        if hasattr(self, "queue"):
            left = self.queue.drain()
            assert len(left) == len({id(item) for item in left}) == self.size()
            assert not {id(item) for item in left} & {id(item) for item in self.released}


TestSlowQueue = SlowQueueMachine.TestCase
TestSlowQueue.settings = settings(max_examples=2 * settings.default.max_examples, stateful_step_count=50)


@given(
    algorithm=st.sampled_from([SchedulingAlgorithm.CREDIT_BASED, SchedulingAlgorithm.DEFICIT_ROUND_ROBIN]),
    waiting=st.sets(st.tuples(priorities, groups), min_size=1),
    order=st.randoms(use_true_random=False),
)
def test_no_flow_waits_longer_than_its_bound(
    algorithm: SchedulingAlgorithm, waiting: set[FlowName], order: object
) -> None:
    queue = SlowQueue[FlowName](algorithm, quantum_us=(400, 300, 200, 100))
    flows = sorted(waiting)
    order.shuffle(flows)  # type: ignore[attr-defined]
    for flow in flows * 2:
        queue.enqueue(flow, priority=flow[0], group=flow[1], urgent=False, now_ns=0)
    # Ten slices give every priority, or every flow, at least one.
    last, bound = dict.fromkeys(flows, 0), 10 * len(flows)
    for number in range(10 * bound):
        (flow,) = queue.process_batch(1, now_ns=0)
        last[flow] = number
        assert number - min(last.values()) <= bound
        queue.enqueue(flow, priority=flow[0], group=flow[1], urgent=False, now_ns=0)
