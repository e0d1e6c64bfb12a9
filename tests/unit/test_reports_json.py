"""The JSON report: nothing is lost in it, every field is documented, and a file is written whole or not at all."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncio_pulse.errors import PulseError
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
from asyncio_pulse.reports.json import from_dict, read_reports, to_dict, write_reports
from tests.support.reports_strategies import process_reports

SCHEMA_DOCUMENT = Path(__file__).parents[2] / "docs" / "report-schema.md"

FULL_REPORT = Report(
    pid=7,
    argv=("python", "app.py"),
    python="3.13.0",
    clock="tsc",
    loops=1,
    metrics=Metrics(polls=3),
    workers={0: WorkerMetrics(0, polls=3)},
    groups=(GroupMetrics("main", polls=3, max_ns=90, histogram=Histogram(((10, 2), (100, 1)))),),
    worst_polls=(WorstPoll("main", "Task-1", "f", "app.py", 3, 90, 80, 0, 1, 90, (StackFrame("f", "app.py", 3),)),),
    loop_metrics=(LoopMetrics(0, turns=3, busy_ns=5, watched_ns=10, max_lag_ns=9, lag=Histogram(((8, 2), (10, 1)))),),
    stalls=(Stall("main", "Task-1", "f", "app.py", 3, "gil", "t in g", 90, 1, 1, 90, (StackFrame("f", "app.py", 3),)),),
    loop_tiers=(LoopTiers(0, "observe", freezes=1, anywhere=("GET *",)),),
    tier_changes=(
        TierChange(5, 0, "task", "f", "main", 0, 1, "so", "act", True, stack=(StackFrame("f", "app.py", 3),), count=2),
    ),
    tasks=(TaskInfo(1, "Task-1", "f", "main", False, 2, 1, "so", 3, 1, 1, 80, 90),),
    slow_queue=SlowQueueMetrics(
        5,
        4,
        3,
        2,
        1,
        QueueMetrics((0, 0, 1, 0), (1, 2, 3, 4), 1, 2, 3, Histogram(((999, 1),))),
        QueueMetrics(waits=Histogram(((1999, 1),))),
        QueueMetrics(waits=Histogram(((2999, 1),))),
        (KeptWaiting("wait", "hold", "jobs", 2, 30_000_000),),
    ),
    preemption=PreemptionMetrics(
        preemptions=3,
        refused=dict.fromkeys(("instruction", "c_code", "critical", "module", "guarded", "traced", "greenlet"), 1),
        places=(RefusedPlace("c_code", "f", "app.py", 3, 1),),
        delay=Histogram(((10, 3),)),
    ),
    processes=2,
    pids=(7, 8),
)


@given(st.lists(process_reports, max_size=2))
def test_a_report_survives_the_way_through_json(reports: list[Report]) -> None:
    text = json.dumps(to_dict(reports), allow_nan=False)
    assert from_dict(json.loads(text)) == reports


@given(process_reports)
def test_derived_numbers_are_those_of_the_model(report: Report) -> None:
    fields = to_dict([report])["processes"][0]
    assert [(group["p50_ns"], group["p99_ns"]) for group in fields["groups"]] == [
        (group.p50_ns, group.p99_ns) for group in report.groups
    ]
    assert [poll["sampled"] for poll in fields["worst_polls"]] == [bool(poll.stack) for poll in report.worst_polls]


def paths_and_types(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Name every field of a document, as the documentation does, with the type that it names."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths_and_types(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from paths_and_types(inner, f"{path}[]")
    else:
        kinds = {bool: "boolean", int: "integer", str: "string", float: "number"}
        yield path, kinds[type(value)]


def test_every_field_is_documented_and_every_documented_field_is_there() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (\w+) \|", SCHEMA_DOCUMENT.read_text(), re.MULTILINE)
    assert len(rows) == len(set(rows)) > 40
    assert set(rows) == set(paths_and_types(to_dict([FULL_REPORT])))


def test_a_field_of_a_later_version_of_the_writer_is_ignored() -> None:
    document = to_dict([FULL_REPORT])
    document["new"] = 1
    document["processes"][0]["groups"][0]["new"] = 1
    assert from_dict(document) == [FULL_REPORT]


def test_a_report_of_before_there_were_tiers_can_be_read() -> None:
    document = to_dict([FULL_REPORT])
    for name in ("loop_tiers", "tier_changes", "tasks"):
        del document["processes"][0][name]
    [report] = from_dict(document)
    assert (report.loop_tiers, report.tier_changes, report.tasks) == ((), (), ())
    assert report.stalls == FULL_REPORT.stalls


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "(None, None)"),
        ({"schema": "other", "version": 1, "processes": []}, "other"),
        ({"schema": "asyncio-pulse/report", "version": 2, "processes": []}, "2"),
        ({"schema": "asyncio-pulse/report", "version": 1}, "processes"),
        ({"schema": "asyncio-pulse/report", "version": 1, "processes": [{"pid": 1}]}, "damaged"),
        ({"schema": "asyncio-pulse/report", "version": 1, "processes": [3]}, "damaged"),
    ],
)
def test_what_is_no_report_of_this_version_is_refused(document: dict[str, Any], words: str) -> None:
    with pytest.raises(PulseError, match=re.escape(words)):
        from_dict(document)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_reports(str(path), [FULL_REPORT])
    write_reports(str(path), [FULL_REPORT, FULL_REPORT])
    assert read_reports(str(path)) == [FULL_REPORT, FULL_REPORT]
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("{")
    with pytest.raises(PulseError, match=r"report\.json is not JSON"):
        read_reports(str(path))


def test_a_link_is_kept_and_its_target_written(tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "target.json")
    write_reports(str(link), [FULL_REPORT])
    assert link.is_symlink()
    assert read_reports(str(tmp_path / "target.json")) == [FULL_REPORT]


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_a_file_has_the_permissions_that_the_user_wants(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    earlier = os.umask(0o027)
    try:
        write_reports(str(path), [FULL_REPORT])
    finally:
        os.umask(earlier)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_failure_leaves_the_earlier_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    path.write_text("earlier")

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_reports(str(path), [FULL_REPORT])
    monkeypatch.undo()
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]
