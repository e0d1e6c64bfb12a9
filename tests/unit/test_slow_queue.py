"""The slow queue on its own: shares, order, bounds, rescue."""

from __future__ import annotations

import gc
import random
import sys
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from asyncio_pulse import TaskPriority
from asyncio_pulse.config import SchedulingAlgorithm
from asyncio_pulse.lowlevel import SlowQueue

CREDIT_BASED, LOTTERY, DEFICIT_ROUND_ROBIN = SchedulingAlgorithm
CRITICAL, HIGH, NORMAL, LOW = TaskPriority
SHARES = {CRITICAL: 0.4, HIGH: 0.3, NORMAL: 0.2, LOW: 0.1}
MS = 1_000_000

any_algorithm = pytest.mark.parametrize("algorithm", SchedulingAlgorithm)


def filled(algorithm: SchedulingAlgorithm, items: int, **settings: Any) -> SlowQueue[TaskPriority]:
    """Make a queue with so many items at each priority; each item is its priority."""
    queue: SlowQueue[TaskPriority] = SlowQueue(algorithm, max_size=100_000, seed=1, **settings)
    for _ in range(items):
        for priority in TaskPriority:
            assert queue.enqueue(priority, priority=priority, urgent=False, now_ns=0)
    return queue


def names(items: list[TaskPriority]) -> str:
    return "".join(priority.name[0] for priority in items)


def drive(queue: SlowQueue[Any], slices: int, cost_us: Callable[[Any], int]) -> tuple[Counter[Any], Counter[Any]]:
    """Release one at a time, charge it and queue it again; count slices and CPU time. An item is a (priority, group)."""
    got, used = Counter[Any](), Counter[Any]()
    for _ in range(slices):
        (flow,) = queue.process_batch(1, now_ns=0)
        cost = cost_us(flow)
        queue.charge(flow, cost)
        got[flow] += 1
        used[flow] += cost
        assert queue.enqueue(flow, priority=flow[0], group=flow[1], urgent=False, now_ns=0)
    return got, used


def shares(counted: Counter[Any]) -> dict[Any, float]:
    return {key: count / counted.total() for key, count in counted.items()}


# The specification's six checks; that of deficit tracking is in test_deficits.py.


def test_the_lottery_is_proportional() -> None:
    got = Counter(filled(LOTTERY, 4_000).process_batch(10_000, now_ns=0))
    assert shares(got) == pytest.approx(SHARES, rel=0.05)


def test_in_the_lottery_what_is_critical_and_urgent_comes_first() -> None:
    queue = filled(LOTTERY, 100)
    for number in range(3):
        queue.enqueue(f"urgent {number}", priority=CRITICAL, now_ns=0)  # type: ignore[arg-type]
    assert queue.process_batch(3, now_ns=0) == ["urgent 0", "urgent 1", "urgent 2"]
    # At Yield or above nothing is urgent, not even what is critical: four slices of ten.
    assert set(queue.process_batch(40, now_ns=0)) == set(TaskPriority)


def test_deficit_round_robin_is_proportional() -> None:
    got = Counter(filled(DEFICIT_ROUND_ROBIN, 4_000).process_batch(10_000, now_ns=0))
    assert shares(got) == pytest.approx(SHARES, rel=0.001)


def test_rounds_go_from_flow_to_flow() -> None:
    queue = SlowQueue[str](quantum_us=(400, 300, 200, 100))
    for number in range(8):
        for priority, group in ((CRITICAL, "a"), (HIGH, "b"), (NORMAL, "c"), (LOW, "d"), (LOW, "e")):
            queue.enqueue(f"{group}{number}", priority=priority, group=group, urgent=False, now_ns=0)
    first = queue.process_batch(11, now_ns=0)
    assert first == ["a0", "a1", "a2", "a3", "b0", "b1", "b2", "c0", "c1", "d0", "e0"]
    second = queue.process_batch(11, now_ns=0)
    assert second == ["a4", "a5", "a6", "a7", "b3", "b4", "b5", "c2", "c3", "d1", "e1"]


def test_credits_are_what_there_is_when_all_else_fails(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def choose(self, flows: object) -> Any:
            raise LookupError("out of order")

    queue = filled(LOTTERY, 100)
    queue.algorithm = Broken()
    assert names(queue.process_batch(20, now_ns=0)) == "CCCCHHHNNLCCCCHHHNNL"
    assert queue.algorithm == CREDIT_BASED
    assert len(caplog.records) == 1
    assert "out of order" in caplog.text


# Shares.


@any_algorithm
def test_weights_hold_over_slices_of_unequal_cost(algorithm: SchedulingAlgorithm) -> None:
    queue = SlowQueue[tuple[TaskPriority, str]](algorithm, seed=2)
    numbers = random.Random(3)
    for priority in TaskPriority:
        for _ in range(3):
            queue.enqueue((priority, ""), priority=priority, urgent=False, now_ns=0)
    # Beyond a quantum, where the lottery compensates nobody; the less important, the longer.
    got, used = drive(queue, 10_000, lambda flow: numbers.randrange(2_000, 4_000 * (1 + flow[0]) + 2_000))
    counted = shares(used if algorithm == DEFICIT_ROUND_ROBIN else got)
    assert {flow[0]: share for flow, share in counted.items()} == pytest.approx(SHARES, rel=0.05)


@pytest.mark.parametrize("seed", range(20))
def test_the_lottery_holds_its_shares_whatever_the_seed(seed: int) -> None:
    queue = SlowQueue[tuple[TaskPriority, str]](LOTTERY, seed=seed)
    for priority in TaskPriority:
        queue.enqueue((priority, ""), priority=priority, urgent=False, now_ns=0)
        queue.enqueue((priority, ""), priority=priority, urgent=False, now_ns=0)
    got, _ = drive(queue, 10_000, lambda flow: 2_000)
    assert {flow[0]: share for flow, share in shares(got).items()} == pytest.approx(SHARES, rel=0.05)


def test_the_lottery_makes_up_for_short_slices() -> None:
    queue = SlowQueue[tuple[TaskPriority, str]](LOTTERY, seed=4)
    for group in ("short", "long"):
        queue.enqueue((NORMAL, group), group=group, now_ns=0)
        queue.enqueue((NORMAL, group), group=group, now_ns=0)
    got, used = drive(queue, 10_000, lambda flow: 200 if flow[1] == "short" else 2_000)
    assert got[NORMAL, "short"] > 5 * got[NORMAL, "long"]
    assert shares(used)[NORMAL, "short"] == pytest.approx(0.5, rel=0.1)


def test_the_same_seed_draws_the_same() -> None:
    first, second = (filled(LOTTERY, 500).process_batch(1_000, now_ns=0) for _ in range(2))
    assert first == second
    other = filled(LOTTERY, 500)
    other_seed = SlowQueue[TaskPriority](LOTTERY, max_size=100_000, seed=99)
    for item in other.drain():
        other_seed.enqueue(item, priority=item, urgent=False, now_ns=0)
    assert other_seed.process_batch(1_000, now_ns=0) != first


def test_credits_go_round_between_the_groups_of_a_priority() -> None:
    queue = SlowQueue[str](CREDIT_BASED)
    for number in range(3):
        for group in "abc":
            queue.enqueue(f"{group}{number}", group=group, now_ns=0)
    assert queue.process_batch(9, now_ns=0) == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


def test_a_flow_with_one_task_has_its_share_of_the_time() -> None:
    # It waits and idles in turn: neither its debt nor the rest of its quantum may be lost with its place.
    queue = SlowQueue[tuple[TaskPriority, str]](DEFICIT_ROUND_ROBIN)
    for priority in TaskPriority:
        queue.enqueue((priority, "one"), priority=priority, group="one", urgent=False, now_ns=0)
    costs = {CRITICAL: 900, HIGH: 25_000, NORMAL: 3_000, LOW: 70_000}
    _, used = drive(queue, 10_000, lambda flow: costs[flow[0]])
    assert {flow[0]: share for flow, share in shares(used).items()} == pytest.approx(SHARES, rel=0.05)


def test_compensation_ends_with_the_next_win() -> None:
    queue = SlowQueue[str](LOTTERY, seed=7)
    for group in ("a", "b"):
        for _ in range(2_000):
            queue.enqueue(group, group=group, now_ns=0)
    queue.charge((NORMAL, "a"), 1)
    assert shares(Counter(queue.process_batch(2_000, now_ns=0)))["a"] == pytest.approx(0.5, rel=0.05)


def test_who_joins_late_has_saved_nothing() -> None:
    queue = filled(DEFICIT_ROUND_ROBIN, 1_000)
    queue.process_batch(2_000, now_ns=0)
    for _ in range(100):
        queue.enqueue(CRITICAL, priority=CRITICAL, group="late", urgent=False, now_ns=0)
    before = {flow.group: flow.served for flow in queue.flows(now_ns=0) if flow.priority == CRITICAL}
    queue.process_batch(140, now_ns=0)
    after = {flow.group: flow.served for flow in queue.flows(now_ns=0) if flow.priority == CRITICAL}
    assert after[""] - before[""] == pytest.approx(after["late"] - before["late"], abs=4)


# Order.


@any_algorithm
def test_holders_go_before_others_of_their_priority(algorithm: SchedulingAlgorithm) -> None:
    queue = SlowQueue[str](algorithm, seed=5)
    plain = [f"plain {number}" for number in range(5)]
    for item in plain:
        queue.enqueue(item, group="a", now_ns=0)
    queue.enqueue("holder 0", group="b", holder=True, now_ns=0)
    queue.enqueue("plain of b", group="b", now_ns=0)
    queue.enqueue("holder 1", group="a", holder=True, now_ns=0)
    assert queue.promote(plain[3])
    assert not queue.promote("nobody")
    assert set(queue.process_batch(3, now_ns=0)) == {"holder 0", "holder 1", "plain 3"}
    left = queue.process_batch(9, now_ns=0)
    assert [item for item in left if item != "plain of b"] == ["plain 0", "plain 1", "plain 2", "plain 4"]


def test_holders_of_different_groups_take_turns() -> None:
    queue = SlowQueue[str]()
    for item in ("a0", "a1", "a2", "b0", "b1"):
        queue.enqueue(item, group=item[0], holder=True, now_ns=0)
    assert queue.process_batch(5, now_ns=0) == ["a0", "b0", "a1", "b1", "a2"]


@any_algorithm
def test_a_holder_does_not_overtake_another_priority(algorithm: SchedulingAlgorithm) -> None:
    queue = filled(algorithm, 1_000)
    for _ in range(1_000):
        queue.enqueue(LOW, priority=LOW, holder=True, now_ns=0)
    assert shares(Counter(queue.process_batch(1_000, now_ns=0)))[LOW] == pytest.approx(0.1, rel=0.2)


@any_algorithm
def test_a_change_of_discipline_keeps_everything_in_order(algorithm: SchedulingAlgorithm) -> None:
    queue = SlowQueue[tuple[str, int]](LOTTERY, seed=6)
    for number in range(100):
        for group in "abc":
            queue.enqueue((group, number), group=group, priority=number % 2, urgent=False, now_ns=0)
    released = queue.process_batch(50, now_ns=0)
    queue.algorithm = algorithm
    assert queue.algorithm == algorithm
    assert len(queue) == 250
    released += queue.process_batch(300, now_ns=0)
    assert len(released) == len(set(released)) == 300
    for group in "abc":
        for priority in (0, 1):
            of_flow = [item[1] for item in released if item[0] == group and item[1] % 2 == priority]
            assert of_flow == sorted(of_flow)


# Rescue.


def test_a_flow_that_waited_too_long_is_next() -> None:
    queue = filled(CREDIT_BASED, 10, starvation_threshold_ms=1_000)
    assert names(queue.process_batch(4, now_ns=999 * MS)) == "CCCC"
    assert names(queue.process_batch(4, now_ns=1_000 * MS)) == "HHHN"
    queue.enqueue(LOW, priority=LOW, group="late", now_ns=1_500 * MS)
    assert queue.stats()["rescues"] == 1
    assert queue.longest_wait_ns(now_ns=1_700 * MS) == 1_700 * MS


def test_rescues_are_one_slice_of_ten_at_most() -> None:
    queue = filled(CREDIT_BASED, 2_000)
    released = queue.process_batch(500, now_ns=10_000 * MS)
    rescues = queue.stats()["rescues"]
    assert rescues == 1  # the discipline gave every other flow a slice before the next one was due
    now_ns = 10_000 * MS
    for _ in range(300):
        now_ns += 2_000 * MS
        released += queue.process_batch(1, now_ns=now_ns)
    assert queue.stats()["rescues"] - rescues == pytest.approx(30, abs=1)
    assert len(released) == 800


def test_who_is_alone_needs_no_rescue() -> None:
    queue = SlowQueue[int](CREDIT_BASED)
    queue.enqueue(1, now_ns=0)
    assert queue.process_batch(1, now_ns=5_000 * MS) == [1]
    assert queue.stats()["rescues"] == 0


# Bounds and numbers.


def test_a_full_queue_takes_nothing() -> None:
    queue = SlowQueue[object](max_size=2)
    item = object()
    assert queue.enqueue(1, now_ns=0)
    assert queue.enqueue(2, urgent=True, now_ns=0)
    assert not queue.enqueue(item, now_ns=0)
    assert not queue.enqueue(item, group="new", now_ns=0)
    stats = queue.stats()
    assert (stats["overflows"], stats["high_water_mark"], stats["queued"], len(queue)) == (2, 2, 2, 2)
    assert [flow.group for flow in queue.flows()] == [""]
    assert queue.drain() == [2, 1]
    assert queue.enqueue(item, now_ns=0)


def test_the_name_of_a_group_without_a_flow_is_let_go_of() -> None:
    queue = SlowQueue[int](CREDIT_BASED, max_size=1)
    name = f"{queue}"
    before = sys.getrefcount(name)
    queue.charge((NORMAL, name), 5)
    assert queue.enqueue(1, group=name, urgent=True, now_ns=0)
    assert not queue.enqueue(2, group=name, now_ns=0)
    assert sys.getrefcount(name) == before
    queue.drain()
    assert queue.enqueue(2, group=name, now_ns=0)
    assert sys.getrefcount(name) > before


def test_the_numbers_add_up() -> None:
    queue = filled(CREDIT_BASED, 3)
    assert queue.queued_by_priority == (3, 3, 3, 3)
    queue.process_batch(5, now_ns=2_000_000)
    stats = queue.stats()
    assert stats["served_by_priority"] == (3, 2, 0, 0)
    assert stats["queued_by_priority"] == queue.queued_by_priority == (0, 1, 3, 3)
    ((upper_ns, count),) = stats["wait_histogram"]
    assert count == 5
    assert 2_000_000 <= upper_ns < 2_000_000 * 1.13
    assert {flow.priority: (flow.queued, flow.served, flow.waited_ns) for flow in queue.flows(now_ns=3_000_000)} == {
        0: (0, 3, 0),
        1: (1, 2, 1_000_000),
        2: (3, 0, 3_000_000),
        3: (3, 0, 3_000_000),
    }
    assert queue.remove(LOW)
    assert not queue.remove(CRITICAL)
    assert queue.queued_by_priority == (0, 1, 3, 2)
    assert queue.stats()["served_by_priority"] == (3, 2, 0, 0)


def test_time_may_be_left_to_the_queue() -> None:
    queue = SlowQueue[int]()
    queue.enqueue(1)
    waited = queue.longest_wait_ns()
    assert queue.longest_wait_ns() >= waited
    assert queue.process_batch(1) == [1]
    assert queue.longest_wait_ns() == 0


def test_time_does_not_go_back() -> None:
    queue = SlowQueue[int]()
    queue.enqueue(1, now_ns=10 * MS)
    assert queue.process_batch(1, now_ns=5 * MS) == [1]
    ((upper_ns, _),) = queue.stats()["wait_histogram"]
    assert upper_ns < MS


def test_names_of_groups_are_kept_only_while_they_are_needed() -> None:
    queue = SlowQueue[int](DEFICIT_ROUND_ROBIN)
    for number in range(5_000):
        queue.enqueue(number, group=f"group {number}", now_ns=0)
        queue.process_batch(1, now_ns=0)
    groups = [flow.group for flow in queue.flows()]
    assert groups
    assert len(groups) <= 1_025
    assert "group 4999" in groups


def test_items_are_let_go_of() -> None:
    class Item:
        queue: object = None

    queue = SlowQueue[Item](seed=1)
    items = [Item() for _ in range(8)]
    watched = [weakref.ref(item) for item in items]
    for number, item in enumerate(items):
        queue.enqueue(item, group="g", urgent=number == 7, now_ns=0)
    assert queue.remove(items[0])
    released = queue.process_batch(2, now_ns=0)
    del items, item
    assert [each() is None for each in watched] == [True, False, False, False, False, False, False, False]
    # What is queued may lead back to the queue: the collector sees it.
    for left in queue.drain():
        left.queue = queue
        queue.enqueue(left, now_ns=0)
    del left, released, queue
    gc.collect()
    assert not [each for each in watched if each() is not None]
