"""The circuit breaker as a pure function of releases and a clock that only the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncio_pulse.policy.breaker import (
    LONGEST_OPEN_NS,
    MOST_BUCKETS,
    OPEN_NS,
    TRIAL_RELEASES,
    WINDOW_NS,
    Breaker,
    BreakerState,
)

CLOSED, OPEN, HALF_OPEN = BreakerState
LIMIT_MS = 1_000
SECOND = 1_000_000_000
BEGIN = 123_456 * SECOND


def opened(now_ns: int = BEGIN) -> Breaker:
    breaker = Breaker()
    assert breaker.on_releases(1, 1, 2_000, LIMIT_MS, now_ns)
    return breaker


def test_one_in_a_hundred_may_be_late() -> None:
    breaker = Breaker()
    assert not breaker.on_releases(99, 0, 10, LIMIT_MS, BEGIN)
    assert not breaker.on_releases(1, 1, 2_000, LIMIT_MS, BEGIN)
    assert breaker.on_releases(1, 1, 3_000, LIMIT_MS, BEGIN)
    assert (breaker.state, breaker.wait_ms, breaker.trips) == (OPEN, 3_000, 1)


def test_a_long_healthy_life_does_not_hide_a_sick_minute() -> None:
    breaker = Breaker()
    now = BEGIN
    for _ in range(10_000):  # 200,000 timely releases, 20 a second
        now += SECOND
        breaker.on_releases(20, 0, 10, LIMIT_MS, now)
    late = 0
    while breaker.state is CLOSED:
        now += SECOND // 20
        late += 1
        breaker.on_releases(1, 1, 2_000, LIMIT_MS, now)
    assert late <= 3


def test_late_releases_of_before_the_window_count_no_more() -> None:
    breaker = Breaker()
    breaker.on_releases(1_000, 10, 2_000, LIMIT_MS, BEGIN)
    assert not breaker.on_releases(100, 1, 2_000, LIMIT_MS, BEGIN + WINDOW_NS)
    assert breaker.state is CLOSED


def test_the_window_is_longer_than_the_waits_that_it_judges() -> None:
    limit_ms = 60_000
    breaker = Breaker()
    breaker.on_releases(99, 0, 10, limit_ms, BEGIN)
    breaker.on_releases(1, 1, 70_000, limit_ms, BEGIN + 70 * SECOND)
    # Without those of seventy seconds ago it would be open.
    assert breaker.state is CLOSED


def test_it_recovers_after_a_trial() -> None:
    breaker = opened()
    assert breaker.at(BEGIN + OPEN_NS - 1) is OPEN
    # Parked before, released now.
    assert not breaker.on_releases(5, 5, 2_000, LIMIT_MS, BEGIN + OPEN_NS - 1)
    now = BEGIN + OPEN_NS
    assert breaker.at(now) is HALF_OPEN
    assert not breaker.on_releases(TRIAL_RELEASES - 1, 0, 10, LIMIT_MS, now)
    assert breaker.on_releases(1, 0, 10, LIMIT_MS, now)
    assert (breaker.state, breaker.trips) == (CLOSED, 1)


def test_each_failed_trial_is_followed_by_a_longer_rest() -> None:
    breaker, now, rests = opened(), BEGIN, []
    for _ in range(9):
        begun = now
        while breaker.at(now) is OPEN:
            now += SECOND
        rests.append(now - begun)
        assert breaker.on_releases(3, 1, 2_000, LIMIT_MS, now)
    assert rests == [min(OPEN_NS * 2**power, LONGEST_OPEN_NS) for power in range(9)]
    assert rests[-1] == LONGEST_OPEN_NS
    # Once it was well for a while, the next rest is a short one again.
    now += LONGEST_OPEN_NS
    breaker.on_releases(TRIAL_RELEASES, 0, 10, LIMIT_MS, now)
    breaker.on_releases(1, 1, 2_000, LIMIT_MS, now)
    assert breaker.open_ns == OPEN_NS


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 3), st.integers(0, 20 * SECOND)), max_size=300))
def test_memory_is_bounded_and_an_open_breaker_ends(reports: list[tuple[int, int, int]]) -> None:
    breaker, now = Breaker(), BEGIN
    for releases, late, elapsed in reports:
        now += elapsed
        before = breaker.state
        changed = breaker.on_releases(releases, min(late, releases), 2_000, LIMIT_MS, now)
        assert changed == (breaker.state is not before) or before is OPEN
        assert len(breaker._buckets) <= MOST_BUCKETS + 1
        assert sum(bucket.late for bucket in breaker._buckets) * 100 <= sum(b.releases for b in breaker._buckets)
    assert breaker.at(now + LONGEST_OPEN_NS) is not OPEN


@pytest.mark.parametrize("state", list(BreakerState))
def test_states_read_as_words(state: BreakerState) -> None:
    assert str(state) in {"closed", "open", "half-open"}
