"""Pressure: the share of a window in which others waited beyond the target, and who goes up next under it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncio_pulse.policy.pressure import SAMPLES, Candidate, Pressure

WINDOW = 1_000


def task(account: str, used: int = 0, at: int = 0, group: str = "a function") -> Candidate:
    return Candidate(account, "task", group, used, at)


def group(name: str, used: int = 0, at: int = 0) -> Candidate:
    return Candidate(f"group {name}", "group", name, used, at)


def test_a_loop_that_was_just_seen_is_under_no_pressure() -> None:
    pressure = Pressure()
    assert pressure.share(task("a"), 500, WINDOW) == 0
    pressure.note(500, 0, WINDOW)
    assert pressure.share(task("a"), 500, WINDOW) == 0


def test_it_is_the_time_beyond_the_target_within_the_window() -> None:
    pressure = Pressure()
    for now in range(0, 3_000, 100):
        pressure.note(now // 4, now, WINDOW)
    assert pressure.share(task("a", at=2_900), 2_900 // 4, WINDOW) == pytest.approx(0.25, abs=0.01)
    # A thousand later, nothing more was late.
    for now in range(3_000, 4_100, 100):
        pressure.note(2_900 // 4, now, WINDOW)
    assert pressure.share(task("a", at=4_100), 2_900 // 4, WINDOW) == 0


def test_what_happened_long_ago_counts_over_the_time_since() -> None:
    pressure = Pressure()
    pressure.note(0, 0, WINDOW)
    assert pressure.share(task("a", at=4_000), 400, WINDOW) == pytest.approx(0.1)


def test_after_one_went_up_the_others_wait_until_it_hurts_again() -> None:
    pressure = Pressure()
    pressure.note(0, 0, WINDOW)
    pressure.on_promotion(task("a", at=1_000, group="g"), 300)
    for same in (task("a", at=1_000, group="g"), group("g", at=1_000)):
        assert pressure.share(same, 300, WINDOW) == pytest.approx(0.3)
    # Also a task of the same function.
    for other in (task("b", at=1_000, group="g"), group("h", at=1_000)):
        assert pressure.share(other, 300, WINDOW) == 0
    assert pressure.share(task("b", at=1_500), 420, WINDOW) == pytest.approx(0.12)


def test_a_loop_that_is_watched_anew_is_under_no_pressure() -> None:
    pressure = Pressure()
    pressure.note(900, 0, WINDOW)
    assert pressure.share(task("a", at=100), 50, WINDOW) == 0


def test_the_one_that_used_most_goes_first() -> None:
    pressure = Pressure()
    assert pressure.is_first(task("a", 10), WINDOW)
    assert not pressure.is_first(task("b", 9), WINDOW)
    assert pressure.is_first(task("c", 11), WINDOW)
    assert not pressure.is_first(task("a", 10), WINDOW)
    pressure.on_promotion(task("c"), 0)
    assert pressure.is_first(task("b", 9), WINDOW)


def test_one_that_was_not_heard_of_for_a_window_keeps_nobody() -> None:
    pressure = Pressure()
    assert pressure.is_first(task("a", 10), WINDOW)
    assert not pressure.is_first(task("b", 9, WINDOW), WINDOW)
    assert pressure.is_first(task("b", 9, WINDOW + 1), WINDOW)


def test_a_task_and_its_group_do_not_wait_for_each_other() -> None:
    pressure = Pressure()
    assert pressure.is_first(group("g", 10), WINDOW)
    assert pressure.is_first(task("a", 9, group="g"), WINDOW)
    assert not pressure.is_first(task("b", 9, group="h"), WINDOW)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 100)), max_size=200))
def test_it_is_a_share_and_needs_little_memory(steps: list[tuple[int, int]]) -> None:
    pressure, now, late = Pressure(), 0, 0
    for passed, more in steps:
        now, late = now + passed, late + min(more, passed)
        pressure.note(late, now, WINDOW)
        assert 0 <= pressure.share(task("a", at=now), late, WINDOW) <= 1
        assert len(pressure.readings) <= SAMPLES + 2
