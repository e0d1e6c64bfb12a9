"""Deficit round robin: what flows owe, what they may still use, and how long either lasts."""

from __future__ import annotations

from typing import Any

import pytest

from asyncio_pulse import TaskPriority
from asyncio_pulse.lowlevel import SlowQueue

CRITICAL, NORMAL = TaskPriority.CRITICAL, TaskPriority.NORMAL


def hundred_each() -> SlowQueue[str]:
    return SlowQueue[str](quantum_us=(100, 100, 100, 100))


def deficits(queue: SlowQueue[Any]) -> dict[str, int]:
    return {flow.group: flow.deficit_us for flow in queue.flows(now_ns=0)}


def test_deficits_are_tracked() -> None:
    queue = SlowQueue[str](quantum_us=(400, 300, 200, 100))
    for item in ("a1", "a2"):
        queue.enqueue(item, group="a", now_ns=0)
    for item in ("b1", "b2"):
        queue.enqueue(item, group="b", now_ns=0)

    # It pays 100 in advance, and the rest when the slice is charged: it owes.
    assert queue.process_batch(1, now_ns=0) == ["a1"]
    assert deficits(queue) == {"a": 100, "b": 0}
    queue.charge((NORMAL, "a"), 550)
    assert deficits(queue) == {"a": -350, "b": 0}
    assert queue.process_batch(1, now_ns=0) == ["b1"]
    queue.charge((NORMAL, "b"), 10)
    assert deficits(queue) == {"a": -350, "b": 190}
    # Its turn goes on while its deficit is positive, and the next round comes when that of all is used.
    assert queue.process_batch(1, now_ns=0) == ["b2"]
    queue.charge((NORMAL, "b"), 200)
    queue.enqueue("b3", group="b", now_ns=0)
    assert queue.process_batch(1, now_ns=0) == ["b3"]
    assert deficits(queue) == {"a": -150, "b": 90}


def test_a_debt_outlasts_an_absence_but_not_for_ever() -> None:
    queue = SlowQueue[str](quantum_us=(100, 100, 100, 100))
    queue.enqueue("hog", group="hog", now_ns=0)
    assert queue.process_batch(1, now_ns=0) == ["hog"]
    queue.charge((NORMAL, "hog"), 1_050)
    for _ in range(100):
        queue.enqueue("good", group="good", now_ns=0)
    queue.enqueue("hog", group="hog", now_ns=0)
    assert queue.process_batch(100, now_ns=0).index("hog") in range(8, 12)


@pytest.mark.parametrize(("rounds_away", "rounds_to_wait"), [(0, 10), (4, 6), (9, 1), (10, 0), (50, 0)])
def test_a_debt_shrinks_by_a_quantum_a_round(rounds_away: int, rounds_to_wait: int) -> None:
    queue = hundred_each()
    queue.charge((NORMAL, "hog"), 1_000)
    for _ in range(200):
        queue.enqueue("good", group="good", now_ns=0)
    assert set(queue.process_batch(rounds_away, now_ns=0)) <= {"good"}
    queue.enqueue("hog", group="hog", now_ns=0)
    assert queue.process_batch(100, now_ns=0).index("hog") == pytest.approx(rounds_to_wait, abs=1.5)


def test_rounds_before_a_charge_do_not_repay_it() -> None:
    queue = hundred_each()
    queue.charge((NORMAL, "hog"), 0)
    for _ in range(100):
        queue.enqueue("good", group="good", now_ns=0)
    queue.process_batch(50, now_ns=0)
    queue.charge((NORMAL, "hog"), 1_000)
    queue.enqueue("hog", group="hog", now_ns=0)
    assert queue.process_batch(50, now_ns=0).index("hog") == pytest.approx(10, abs=1.5)


def test_the_rest_of_a_quantum_is_good_until_the_round_ends() -> None:
    queue = SlowQueue[str](quantum_us=(400, 100, 100, 100))
    for _ in range(50):
        queue.enqueue("o", group="o", now_ns=0)
    queue.enqueue("s", priority=CRITICAL, group="s", urgent=False, now_ns=0)
    assert "s" in queue.process_batch(2, now_ns=0)
    queue.process_batch(10, now_ns=0)
    for _ in range(8):
        queue.enqueue("s", priority=CRITICAL, group="s", urgent=False, now_ns=0)
    assert "".join(queue.process_batch(15, now_ns=0)).strip("o") == "ssssossss"


def test_rounds_in_which_all_are_in_debt_are_skipped_at_once() -> None:
    queue = hundred_each()
    for group, debt in (("a", 1_000), ("b", 3_500), ("idle", 2_000)):
        queue.charge((NORMAL, group), debt)
    queue.enqueue("a", group="a", now_ns=0)
    queue.enqueue("b", group="b", now_ns=0)
    # The eleventh round gives `a` its first 100 to use; it has not passed `b` yet.
    assert queue.process_batch(1, now_ns=0) == ["a"]
    queue.enqueue("idle", group="idle", now_ns=0)
    assert deficits(queue) == {"a": 0, "b": -2_500, "idle": -900}


def test_what_was_guessed_too_high_gives_back_one_quantum_at_most() -> None:
    queue = hundred_each()
    queue.enqueue("a", group="a", cost_us=10_000, now_ns=0)
    queue.process_batch(1, now_ns=0)
    assert deficits(queue) == {"a": -9_900}
    for _ in range(150):
        queue.enqueue("b", group="b", now_ns=0)
    queue.process_batch(150, now_ns=0)  # rounds enough to pay for it
    queue.charge((NORMAL, "a"), 0)
    assert deficits(queue)["a"] == 100


def test_a_debt_is_an_hour_at_most() -> None:
    queue = hundred_each()
    for _ in range(3):
        queue.charge((NORMAL, "a"), 2**63 - 1)
        queue.enqueue("a", group="a", cost_us=2**32 - 1, now_ns=0)
    assert deficits(queue) == {"a": -3_600_000_000}
    assert queue.process_batch(3, now_ns=0) == ["a", "a", "a"]
    assert deficits(queue)["a"] >= -3_600_000_000
