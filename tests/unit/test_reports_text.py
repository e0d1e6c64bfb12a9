"""The text report: what it says, that it fits a terminal, and that no name can do harm to one."""

from __future__ import annotations

import dataclasses
import doctest
import json.encoder
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncio_pulse.metrics.model import (
    GroupMetrics,
    Histogram,
    KeptWaiting,
    LoopMetrics,
    Metrics,
    QueueMetrics,
    Report,
    SlowQueueMetrics,
    StackFrame,
    Stall,
    WorstPoll,
)
from asyncio_pulse.reports import wording
from asyncio_pulse.reports.json import to_dict
from asyncio_pulse.reports.text import format_reports, longest_groups, process_lines, why_no_loop
from asyncio_pulse.runtime import stall_log
from tests.support.reports_strategies import names, process_reports

ENCODER = StackFrame("iterencode", json.encoder.__file__, 257)
ROUTE = StackFrame("list_reports", "/srv/app/routes.py", 42)
SECONDS = 1_000_000_000

REPORT = Report(
    pid=4242,
    argv=("python", "app.py", "--title", "two words"),
    python="3.12.1",
    clock="tsc",
    loops=1,
    metrics=Metrics(
        polls=6120,
        violations=12,
        slow_polls=3,
        cpu_time_ns=3_900_000_000,
        wall_time_ns=4_100_000_000,
        gc_time_ns=120_000_000,
        tasks=1200,
        tasks_alive=2,
        uptime_ns=12 * SECONDS,
    ),
    workers={},
    groups=(
        GroupMetrics("ping", polls=1_234_567, wall_time_ns=1 * SECONDS, max_ns=9000, histogram=Histogram(((9000, 9),))),
        GroupMetrics("reports", polls=3, violations=3, slow_polls=2, wall_time_ns=3 * SECONDS, cpu_time_ns=2 * SECONDS),
    ),
    worst_polls=(
        WorstPoll(
            "reports", "Task-7", "iterencode", ENCODER.filename, 257, 612_000_000, 600_000_000, 3_000_000, 3,
            1_800_000_000, (ENCODER, ENCODER, ROUTE),
        ),
        WorstPoll("ping", "Task-9", "ping", "/srv/app/ping.py", 7, 12_000_000, 11_000_000, 0, 1, 12_000_000),
    ),
)  # fmt: skip

EXPECTED = """\
asyncio-pulse: 1 process, 1 event loop

process 4242: python app.py --title 'two words'
Python 3.12.1, tsc clock, 1 loop, 1,200 tasks (2 alive)
6,120 polls took 4.1 s in 12 s: 34 % busy, CPU 3.9 s, GC 120 ms
3 slow polls, 12 budget violations

group                         polls     CPU  slow viol.     p50     p99     max
reports                           3   2.0 s     2     3       0       0       0
ping                        1,235 k       0     0     0  9.0 us  9.0 us  9.0 us

worst polls
 1. 612 ms in list_reports, /srv/app/routes.py:42
    CPU 600 ms, GC 3.0 ms; 3 times, 1.8 s in all
    group reports, task Task-7
    at iterencode, json/encoder.py:257 (x2)
    by list_reports, /srv/app/routes.py:42
 2. 12 ms somewhere in ping, /srv/app/ping.py:7 (no sample)
    CPU 11 ms, GC 0
    group ping, task Task-9
"""


def test_a_report_reads_like_this() -> None:
    assert format_reports([REPORT], 10) == EXPECTED


def test_only_so_many_worst_polls_are_shown() -> None:
    one = format_reports([REPORT], 1)
    assert EXPECTED.startswith(one)
    assert "\n 1. " in one
    assert "\n 2. " not in one
    assert "worst polls" not in format_reports([REPORT], 0)


def test_each_process_has_its_section() -> None:
    text = format_reports([REPORT, REPORT], 10)
    assert text.startswith("asyncio-pulse: 2 processes, 2 event loops\n")
    assert text.count(EXPECTED.split("\n", 1)[1]) == 2


def test_of_many_groups_the_longest_are_shown_and_the_rest_is_counted() -> None:
    groups = tuple(GroupMetrics(f"group {number:02}", polls=1, wall_time_ns=number) for number in range(40))
    text = format_reports([Report(1, (), "", "", 1, Metrics(), {}, groups, ())], 10)
    assert re.findall(r"^group (\d\d)", text, re.MULTILINE) == [f"{number:02}" for number in range(39, 24, -1)]
    assert text.endswith("\nand 25 more\n")


def test_an_internal_error_is_not_kept_quiet() -> None:
    report = Report(1, (), "", "", 1, Metrics(internal_errors=2), {}, (), ())
    assert "\n2 internal errors contained; please report this\n" in format_reports([report], 10)


def test_a_group_without_a_poll_is_not_shown() -> None:
    groups = (GroupMetrics("jobs", polls=1, wall_time_ns=1), GroupMetrics("job", tasks=1))
    assert longest_groups(groups) == ([groups[0]], 0)


@pytest.mark.parametrize("had_children", [False, True])
def test_without_a_loop_it_says_why_in_one_line(had_children: bool) -> None:
    lines = [why_no_loop(asyncio, loop, had_children) for asyncio in (False, True) for loop in (False, True)]
    assert ["no event loop ran" in line for line in lines] == [True, False, False, False]
    assert ["was imported, but no event loop of" in line for line in lines] == [False, False, True, False]
    assert all(line.startswith("asyncio-pulse: ") and line.find("\n") == len(line) - 1 for line in lines)
    assert all(("child process" in line) is had_children for line in lines)


@given(st.lists(process_reports, min_size=1, max_size=2), st.integers(0, 5))
def test_no_line_is_too_long_and_no_name_reaches_the_terminal_as_a_command(
    reports: list[Report], worst_count: int
) -> None:
    text = format_reports(reports, worst_count)
    lines = text.split("\n")
    # Eight spaces precede what is to be pasted.
    assert all(len(line) < 80 or line.startswith(" " * 8) for line in lines)
    assert all(line.isprintable() for line in lines)


@given(names, st.integers(5, 60))
def test_a_shortened_text_keeps_both_ends(text: str, width: int) -> None:
    short = wording.shorten(text, width)
    if len(text) <= width:
        assert short == text
    else:
        head, mark, tail = short.partition("...")
        assert len(short) == width
        assert (mark, text.startswith(head), text.endswith(tail)) == ("...", True, True)


@given(st.integers(0, 10**17))
def test_a_duration_is_short_and_close(ns: int) -> None:
    text = wording.duration(ns)
    assert len(text) <= 7
    number, _, unit = text.partition(" ")
    unit_ns = {"": 1, "ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9, "min": 60e9, "h": 3600e9}[unit]
    assert float(number) * unit_ns == pytest.approx(ns, rel=0.06)


@given(st.integers(0, 10**14), st.integers(5, 12))
def test_a_count_is_short_and_close(number: int, width: int) -> None:
    text = wording.count(number, width)
    assert len(text) <= width
    digits, _, unit = text.partition(" ")
    factor = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[unit]
    assert float(digits.replace(",", "")) * factor == pytest.approx(number, rel=0.06)


def test_a_place_begins_where_it_says_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = os.path.join(os.path.dirname(os.__file__), "site-packages", "web", "route.py")
    assert wording.place(packages, 3, 60) == f"web{os.sep}route.py:3"
    assert wording.place(json.encoder.__file__, 3, 60) == f"json{os.sep}encoder.py:3"
    monkeypatch.chdir(tmp_path)
    assert wording.place(str(tmp_path / "app.py"), 3, 60) == "app.py:3"
    assert wording.place("/elsewhere/app.py", 3, 60) == "/elsewhere/app.py:3"


@pytest.mark.skipif(os.name != "posix", reason="a directory in use cannot be removed")
def test_a_place_can_be_told_without_a_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    assert wording.place("/elsewhere/app.py", 3, 60) == "/elsewhere/app.py:3"


def test_what_has_no_place_in_the_source_is_named_alone() -> None:
    assert wording.located("in ", StackFrame("(event loop)", "", 0), ";") == "in (event loop);"
    stall = Stall("(callbacks)", "", "(event loop)", "", 0, "on-cpu", "", 160_000_000, 0, 1, 160_000_000)
    assert stall_log._describe(stall) == "the loop stalled for 0.16 s, computing, in (event loop), group (callbacks)"


def test_the_headline_is_outside_the_standard_library_if_anything_is() -> None:
    def headline(*stack: StackFrame) -> StackFrame:
        return wording.headline(WorstPoll("", "", "iterencode", ENCODER.filename, 257, 1, 1, 0, 1, 1, stack))

    frozen = StackFrame("_find_and_load", "<frozen importlib._bootstrap>", 1)
    packaged = StackFrame("route", os.path.join(os.path.dirname(os.__file__), "site-packages", "web.py"), 1)
    assert headline(frozen, ENCODER, packaged, ROUTE) == packaged
    assert headline(ENCODER, frozen) == ENCODER
    assert headline() == ENCODER


def test_the_examples_of_the_words_are_true() -> None:
    assert doctest.testmod(wording).failed == 0
    assert doctest.testmod(wording).attempted > 5


def test_a_terminal_gets_the_same_words() -> None:
    pytest.importorskip("rich")
    from asyncio_pulse.reports.terminal import render_reports

    coloured = render_reports([REPORT], 10)
    assert "\x1b[" in coloured
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert plain.split() == EXPECTED.split()


def test_a_wide_terminal_shows_long_names_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    from asyncio_pulse.reports.terminal import render_reports

    name = "a_function." * 8
    report = Report(1, (), "", "", 1, Metrics(), {}, (GroupMetrics(name, polls=1),), ())
    monkeypatch.setenv("COLUMNS", "160")
    assert name in render_reports([report], 10)
    monkeypatch.setenv("COLUMNS", "80")
    assert name not in render_reports([report], 10)


def test_a_name_that_looks_like_markup_is_shown_as_it_is() -> None:
    pytest.importorskip("rich")
    from asyncio_pulse.reports.terminal import render_reports

    report = Report(1, (), "", "", 1, Metrics(), {}, (GroupMetrics("[bold]x[/nonsense]", polls=1),), ())
    assert "[bold]x[/nonsense]" in render_reports([report], 10)


def test_rich_is_not_imported_for_plain_text() -> None:
    code = "import sys, asyncio_pulse.launch.delivery; print('rich' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def test_the_slow_queue_has_a_line_if_anything_was_parked() -> None:
    waits = Histogram(((999, 50), (1_999_999, 50)))
    for parked, line in ((0, ""), (100, "\nslow queue: 100 parked, waited p50 999 ns, p99 2.0 ms, full 3 times\n")):
        queue = SlowQueueMetrics(parked=parked, queue=QueueMetrics(waits=waits, overflows=3))
        report = Report(1, (), "", "", 1, Metrics(), {}, (), (), slow_queue=queue)
        assert ("slow queue" in format_reports([report], 10)) is bool(parked)
        assert line in format_reports([report], 10)


def test_overlong_turns_have_a_line_if_anything_waited_for_another_one() -> None:
    for waits, line in (
        (Histogram(), ""),
        (Histogram(((1_999_999, 1_200),)), "\noverlong turns: 1,200 polls put aside, waited p50 2.0 ms, p99 2.0 ms\n"),
    ):
        queue = SlowQueueMetrics(overlong_turns=QueueMetrics(waits=waits))
        report = Report(1, (), "", "", 1, Metrics(), {}, (), (), slow_queue=queue)
        assert ("overlong" in format_reports([report], 10)) is bool(line)
        assert line in format_reports([report], 10)


def test_who_waited_longest_for_parked_work_is_named_with_what_to_do() -> None:
    kept = (KeptWaiting("wait", "hold", "jobs", 2, 30_000_000), KeptWaiting("others", "hold", "jobs", 1, 20_000_000))
    queue = SlowQueueMetrics(parked=2, kept_waiting=kept)
    report = Report(1, (), "", "", 1, Metrics(), {}, (), (), slow_queue=queue)
    assert (
        "\na Monitor task waited up to 30 ms for parked work, 2 times:\n"
        "    wait for hold of jobs\n"
        "    give the latter max_tier='warn' if others depend on it, or await its task\n"
    ) in format_reports([report], 10)
    assert "others for" not in format_reports([report], 10)


def test_a_loop_that_cannot_be_watched_is_not_said_to_be_idle() -> None:
    loops = (LoopMetrics(0, turns=3, busy_ns=5, watched_ns=10, max_lag_ns=9), LoopMetrics(1))
    lines = process_lines(dataclasses.replace(REPORT, loop_metrics=loops))
    [watched] = [line for line in lines if line.startswith("worker 0")]
    [unwatched] = [line for line in lines if line.startswith("worker 1")]
    assert "utilisation 50 %" in watched
    assert "not watched" in unwatched
    assert "0" not in unwatched
    document = to_dict([dataclasses.replace(REPORT, loop_metrics=loops)])
    assert [loop["watched"] for loop in document["processes"][0]["loop_metrics"]] == [True, False]
