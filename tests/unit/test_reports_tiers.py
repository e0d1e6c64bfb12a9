"""What the text report says about tiers."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import pytest

from asyncio_pulse.metrics.model import (
    GroupMetrics,
    LoopTiers,
    Metrics,
    Report,
    StackFrame,
    TaskInfo,
    TierChange,
)
from asyncio_pulse.reports.text import format_reports

PROMOTED = TierChange(
    at_ns=43_200_000_000_000,
    worker_id=0,
    account="group",
    name="GET /report",
    group="GET /report",
    before=1,
    after=2,
    reason="3 violations within 1000 ms (limit 3)",
    mode="act",
    acted=True,
    wall_ns=203_000_000,
    cpu_ns=200_000_000,
    function="report",
    filename="/srv/app/service.py",
    line=25,
    stack=(StackFrame("report", "/srv/app/service.py", 25),),
)
# It was not caught running: the place is where the coroutine is defined.
UNSEEN = dataclasses.replace(PROMOTED, account="task", name="report", before=0, after=1, line=20, stack=())
OBSERVED = dataclasses.replace(PROMOTED, name="feed", before=2, after=1, reason="idle for 10 s", acted=False, wall_ns=0)
REPORT = Report(
    pid=1,
    argv=("python",),
    python="3.12.1",
    clock="tsc",
    loops=1,
    metrics=Metrics(would_park=1203),
    workers={},
    groups=(
        GroupMetrics("quiet", wall_time_ns=9),
        GroupMetrics("jobs", explicit=True, tier=1, tier_reason="5 violations, but " + "others had to wait " * 4),
        GroupMetrics("GET /report", explicit=True, tier=2, tier_reason="3 violations within 1000 ms (limit 3)"),
    ),
    worst_polls=(),
    loop_tiers=(LoopTiers(0, "observe", True, 2), LoopTiers(1, "act")),
    tier_changes=(dataclasses.replace(PROMOTED, count=3), OBSERVED),
    tasks=(TaskInfo(7, "Task-7", "report", "GET /report", True, 2, 2, "5 slow polls", 9, 9, 9, 9, 9),),
)
MODE = """
mode act and observe: 1,203 polls at Yield or above only observed
promotion was frozen 2 times, and is now: the machine was at fault, not a group
"""
TIERS = """

tiers: above Monitor now or earlier, or held back, and why
 Yield: group GET /report
    3 violations within 1000 ms (limit 3)
 Warn: group jobs
    5 violations, but others had to wait others had to wait others had to wait
    others had to wait
 Yield: task Task-7, report
    5 slow polls

changes of tier, newest first
 1. 12:00:00 group GET /report: Warn to Yield, 3 times
    3 violations within 1000 ms (limit 3)
    by a poll of 203 ms, CPU 200 ms, in report, /srv/app/service.py:25
 2. 12:00:00 group feed: Yield to Warn (only observed)
    idle for 10 s
"""


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    if hasattr(time, "tzset"):
        time.tzset()
    yield
    monkeypatch.undo()
    if hasattr(time, "tzset"):
        time.tzset()


def test_tiers_read_like_this() -> None:
    text = format_reports([REPORT], 10)
    assert MODE in text
    assert text.endswith(TIERS)


def test_a_place_that_was_not_seen_says_somewhere() -> None:
    text = format_reports([dataclasses.replace(REPORT, tier_changes=(UNSEEN,))], 10)
    assert "by a poll of 203 ms, CPU 200 ms, somewhere in report, " in text
    assert str(PROMOTED).endswith(", in report (/srv/app/service.py:25)")
    assert str(UNSEEN).endswith(", somewhere in report (/srv/app/service.py:20)")


def test_where_nothing_came_of_it_only_the_mode_is_told() -> None:
    calm = dataclasses.replace(
        REPORT, metrics=Metrics(), groups=REPORT.groups[:1], loop_tiers=(LoopTiers(0),), tier_changes=(), tasks=()
    )
    text = format_reports([calm], 10)
    assert "\nmode act\n\n" in text
    for words in ("tier", "frozen", "observed"):
        assert words not in text


def test_of_many_the_first_are_shown_and_the_rest_is_counted() -> None:
    many = dataclasses.replace(
        REPORT,
        groups=tuple(GroupMetrics(f"g{number}", tier=1, tier_reason="so") for number in range(12)),
        tasks=REPORT.tasks * 13,
        tier_changes=REPORT.tier_changes * 7,
    )
    _, _, text = format_reports([many], 10).partition("\ntiers: ")
    assert text.count(": group g") == 10
    assert text.count(": task Task-7") == 10
    assert text.count(" to ") == 10
    assert [line for line in text.splitlines() if " more" in line] == [f"    and {count} more" for count in (2, 3, 4)]
