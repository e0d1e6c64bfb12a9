"""How often the log repeats itself, on a clock that only the test moves."""

from __future__ import annotations

import itertools

from asyncio_pulse.policy.log_limit import LONGEST_INTERVAL_NS, MOST_REMEMBERED, LogLimit

SECOND = 1_000_000_000
BEGIN = 987_654 * SECOND


def admitted(limit: LogLimit, seconds: int, every_ms: int = 100, begin: int = BEGIN) -> list[int]:
    """Let the same happen again and again, and list the seconds in which it was logged."""
    return [
        (now - begin) // SECOND
        for now in range(begin, begin + seconds * SECOND, every_ms * 1_000_000)
        if limit.admit("offence", SECOND, now) is not None
    ]


def test_what_goes_on_is_logged_in_intervals_that_double_up_to_an_hour() -> None:
    times = admitted(LogLimit(), 8 * 3_600, every_ms=1_000)
    assert times[:12] == [0, *(2**power - 1 for power in range(1, 12))]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert max(gaps) == gaps[-1] == LONGEST_INTERVAL_NS // SECOND


def test_a_record_says_how_often_it_went_unlogged() -> None:
    limit = LogLimit()
    answers = [limit.admit("offence", SECOND, BEGIN + each * SECOND // 10) for each in range(31)]
    assert [answer for answer in answers if answer is not None] == [0, 9, 19]


def test_after_an_hour_of_calm_it_is_new() -> None:
    limit = LogLimit()
    admitted(limit, 1_000)
    later = BEGIN + 1_000 * SECOND + LONGEST_INTERVAL_NS
    assert admitted(limit, 8, begin=later) == [0, 1, 3, 7]


def test_what_comes_seldom_is_still_logged_less_and_less() -> None:
    assert len(admitted(LogLimit(), 24 * 3_600, every_ms=60_000)) < 40


def test_an_interval_of_0_logs_everything() -> None:
    limit = LogLimit()
    assert [limit.admit("offence", 0, BEGIN) for _ in range(5)] == [0] * 5


def test_ever_new_things_are_bounded_in_memory_and_in_records() -> None:
    limit = LogLimit()
    logged = sum(limit.admit(f"group {number}", SECOND, BEGIN) is not None for number in range(5 * MOST_REMEMBERED))
    assert logged == len(limit._known) == MOST_REMEMBERED + 1
    # What was calm meanwhile makes room.
    assert limit.admit("another", SECOND, BEGIN + LONGEST_INTERVAL_NS) == 0
    assert len(limit._known) == 1
