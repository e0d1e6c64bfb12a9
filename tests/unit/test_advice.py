"""Advice: which places broke the target, what is said of them, and that settings can be pasted."""

from __future__ import annotations

import dataclasses
import json.decoder
import os
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given

from asyncio_pulse.config import TierConfig
from asyncio_pulse.integrations import asgi
from asyncio_pulse.metrics.model import (
    GroupMetrics,
    Histogram,
    LoopMetrics,
    LoopTiers,
    Metrics,
    PreemptionMetrics,
    RefusedPlace,
    Report,
    StackFrame,
    Stall,
    WorstPoll,
)
from asyncio_pulse.reports.advice import remedies
from asyncio_pulse.reports.advised import advised_configuration
from asyncio_pulse.reports.breaches import breaches
from asyncio_pulse.reports.counterparts import counterpart, package_of
from asyncio_pulse.reports.diagnosis import format_diagnosis
from asyncio_pulse.reports.target_lines import target_lines
from asyncio_pulse.runtime.settings import read_config_file
from tests.support.reports_strategies import process_reports

MS = 1_000_000
PACKAGES = str(Path(os.__file__).parent / "site-packages")
COMPUTE = StackFrame("Report.rows", "/srv/app/report.py", 12)
ROUTE = StackFrame("report", "/srv/app/routes.py", 40)
LIBRARY = StackFrame("markdown", f"{PACKAGES}/markdown/core.py", 300)
JSON = StackFrame("dumps", json.decoder.__file__.replace("decoder", "__init__"), 231)


def stall(
    *stack: StackFrame, stall_class: str = "on-cpu", group: str = "GET /report", total_ms: int = 900, gil_ms: int = 0
):
    where = stack[0] if stack else StackFrame("report", "/srv/app/routes.py", 38)
    return Stall(
        group, "Task-7", where.function, where.filename, where.line, stall_class, "", 300 * MS, gil_ms * MS, 3,
        total_ms * MS, stack,
    )  # fmt: skip


def poll(
    *stack: StackFrame, group: str = "GET /report", wall_ms: int = 60, cpu_ms: int = 60, gc_ms: int = 0, count: int = 2
):
    where = stack[0] if stack else StackFrame("report", "/srv/app/routes.py", 38)
    total = wall_ms * count * MS
    return WorstPoll(
        group, "Task-7", where.function, where.filename, where.line, wall_ms * MS, cpu_ms * MS, gc_ms * MS, count, total,
        stack,
    )  # fmt: skip


def report_of(*records: Stall | WorstPoll, places: tuple[RefusedPlace, ...] = (), late_ms: int = 900) -> Report:
    lag = Histogram(((1 * MS, 990), (300 * MS, 10)))
    loop = LoopMetrics(0, 1000, 5000 * MS, 10_000 * MS, 20 * MS, late_ms * MS, 300 * MS, lag)
    return Report(
        pid=4242,
        argv=("python", "app.py"),
        python="3.12.1",
        clock="tsc",
        loops=1,
        metrics=Metrics(polls=1000, tasks=3),
        workers={},
        groups=(GroupMetrics("GET /report", explicit=True, polls=3), GroupMetrics("work", polls=3)),
        worst_polls=tuple(record for record in records if isinstance(record, WorstPoll)),
        stalls=tuple(record for record in records if isinstance(record, Stall)),
        loop_metrics=(loop,),
        preemption=PreemptionMetrics(places=places),
    )


DIAGNOSIS = """\
process 4242: python app.py
latency target 20 ms: kept 91.0 % of the time
    ready callbacks waited p99 1.0 ms, at most 300 ms
 1. 900 ms, GET /report: Report.rows, /srv/app/report.py:12
    computing, 3 times, up to 300 ms, 900 ms in all
    let it be suspended in its middle

what to do, in pulse.toml or in the code
 1. Report.rows, /srv/app/report.py:12
    computing, 3 times, up to 300 ms, 900 ms in all: let it be suspended in its
    middle
        [groups."GET /report"]
        preempt = "anywhere"
    expected: others wait at best about 20 ms for it, not 300 ms; only if
    nothing relies on its running in one piece"""


def test_a_diagnosis_reads_like_this() -> None:
    assert format_diagnosis([report_of(stall(COMPUTE, ROUTE))]) == DIAGNOSIS


def test_a_kept_target_needs_no_advice() -> None:
    lines = target_lines(report_of(late_ms=0))
    assert lines == [
        "latency target 20 ms: kept all of the time",
        "    ready callbacks waited p99 1.0 ms, at most 300 ms",
    ]
    assert remedies(report_of(late_ms=0)) == []


def test_what_was_not_watched_is_not_judged() -> None:
    unwatched = dataclasses.replace(report_of(stall(COMPUTE, ROUTE)), loop_metrics=(LoopMetrics(0),))
    assert target_lines(unwatched) == []
    assert "not known" in format_diagnosis([unwatched])
    assert "no event loop ran" in format_diagnosis([])


def test_the_worst_of_several_loops_is_told_apart() -> None:
    report = report_of(stall(COMPUTE, ROUTE))
    better = dataclasses.replace(report.loop_metrics[0], worker_id=1, late_ns=0)
    assert target_lines(dataclasses.replace(report, loop_metrics=(better, *report.loop_metrics)))[0].endswith(
        "(worker 0)"
    )


@pytest.mark.parametrize(
    ("record", "words", "code"),
    [
        (
            stall(StackFrame("f", "/srv/app/f.py", 1), ROUTE, stall_class="blocked"),
            "move the call to a thread",
            "to_thread(f,",
        ),
        (stall(COMPUTE, ROUTE, stall_class="gil"), "in a process instead of that thread", "ProcessPoolExecutor()"),
        (stall(COMPUTE, ROUTE, stall_class="processor"), "a larger CPU limit", ""),
        (stall(COMPUTE, ROUTE, stall_class="collecting"), "out of collections", "gc.freeze()"),
        (stall(COMPUTE, ROUTE, stall_class="importing"), "import it when the program starts", ""),
        (stall(COMPUTE, ROUTE, stall_class="spinning"), "wait for something", "asyncio.sleep(0.01)"),
        (stall(COMPUTE, ROUTE, stall_class="unknown"), "a call in it blocks", "to_thread(rows,"),
        (stall(COMPUTE, ROUTE, gil_ms=200), "C code computes", "process_pool, rows,"),
        (stall(JSON, ROUTE), "C code computes", "process_pool, dumps,"),
        (poll(wall_ms=90, cpu_ms=2), "was not seen", "--target 5ms"),
        (poll(COMPUTE, ROUTE, gc_ms=50), "out of collections", "gc.freeze()"),
    ],
    ids=lambda value: f"{value.stall_class}" if isinstance(value, Stall) else None,
)
def test_every_kind_has_its_remedy(record: Stall | WorstPoll, words: str, code: str) -> None:
    [remedy] = remedies(report_of(record))
    assert words in remedy.action
    assert code in remedy.code
    assert not remedy.toml
    assert remedy.expected


def test_code_of_no_explicit_group_opts_in_with_everything() -> None:
    [remedy] = remedies(report_of(stall(COMPUTE, ROUTE, group="work")))
    assert tomllib.loads(remedy.toml) == {"preempt": "anywhere"}


def test_tasks_of_few_steps_are_marked_in_the_code() -> None:
    groups = (GroupMetrics("export", polls=12, tasks=10),)
    [remedy] = remedies(dataclasses.replace(report_of(stall(COMPUTE, ROUTE, group="export")), groups=groups))
    assert (remedy.code, remedy.toml) == ("@pulse.governed(preemptible=True)", "")
    assert "mark the coroutine function export" in remedy.action


def test_packages_between_the_program_and_the_place_opt_in_too() -> None:
    [remedy] = remedies(report_of(stall(LIBRARY, ROUTE)))
    assert tomllib.loads(remedy.toml) == {
        "preemptible_modules": ["markdown"],
        "groups": {"GET /report": {"preempt": "anywhere"}},
    }


@pytest.mark.parametrize(
    ("rule", "words"), [("critical", "compute outside"), ("c_code", "write a loop"), ("instruction", "C code")]
)
def test_a_place_that_was_tried_in_vain_gets_other_advice(rule: str, words: str) -> None:
    tried = RefusedPlace(rule, COMPUTE.function, COMPUTE.filename, COMPUTE.line, 7)
    [remedy] = remedies(report_of(stall(COMPUTE, ROUTE), places=(tried,)))
    assert words in remedy.action
    assert not remedy.toml


ENCODER = StackFrame("jsonable_encoder", f"{PACKAGES}/fastapi/encoders.py", 259)
UVICORN = StackFrame("RequestResponseCycle.run_asgi", f"{PACKAGES}/uvicorn/protocols/http/h11_impl.py", 400)
OURS = StackFrame("PulseMiddleware._serve", asgi.__file__, 92)


def test_what_is_suspended_by_default_is_not_when_it_is_only_observed() -> None:
    other = dataclasses.replace(ENCODER, line=244)
    report = report_of(stall(ENCODER, OURS, UVICORN), stall(other, OURS, UVICORN))
    assert len(remedies(report)) == 1
    assert remedies(report)[0].toml
    observed = dataclasses.replace(report, loop_tiers=(LoopTiers(0, mode="observe"),))
    [remedy] = remedies(observed)
    assert (remedy.code, remedy.toml) == ("ASYNCIO_PULSE_MODE=act asyncio-pulse run ...", "")


@pytest.mark.parametrize(
    ("patterns", "group", "words"),
    [(("GET *",), "GET /report", "was not"), (("*",), "work", "mark the coroutine function work")],
)
def test_what_is_set_already_is_not_advised(patterns: tuple[str, ...], group: str, words: str) -> None:
    report = report_of(stall(COMPUTE, ROUTE, group=group))
    assert remedies(report)[0].toml
    [remedy] = remedies(dataclasses.replace(report, loop_tiers=(LoopTiers(0, anywhere=patterns),)))
    assert not remedy.toml
    assert words in remedy.action


def test_a_stall_says_that_a_poll_of_its_place_kept_the_gil() -> None:
    seen = poll(COMPUTE, ROUTE, wall_ms=300, cpu_ms=300)
    assert remedies(report_of(seen))[0].toml
    [remedy] = remedies(report_of(seen, stall(COMPUTE, ROUTE, gil_ms=200)))
    assert "C code computes" in remedy.action


def test_tasks_of_few_steps_are_marked_also_if_the_configuration_allows_it() -> None:
    groups = (GroupMetrics("export", polls=12, tasks=10),)
    report = dataclasses.replace(report_of(stall(COMPUTE, ROUTE, group="export")), groups=groups)
    [remedy] = remedies(dataclasses.replace(report, loop_tiers=(LoopTiers(0, anywhere=("*",)),)))
    assert remedy.code == "@pulse.governed(preemptible=True)"


def test_each_poll_counts_once() -> None:
    other = dataclasses.replace(COMPUTE, line=99)
    records = (stall(COMPUTE, ROUTE), poll(COMPUTE, ROUTE, wall_ms=300, cpu_ms=300, count=3), poll(other, ROUTE))
    [breach] = breaches(report_of(*records))
    assert (breach.cost_ns // MS, breach.count, breach.longest_ns // MS) == (1020, 5, 300)


def test_a_stall_says_why_polls_of_its_group_were_off_the_cpu() -> None:
    waiting = poll(StackFrame("f", "/srv/app/f.py", 1), ROUTE, cpu_ms=1)
    [breach] = breaches(report_of(waiting, stall(ROUTE, stall_class="gil")))
    assert breach.stall_class == "gil"
    assert breaches(report_of(waiting))[0].stall_class == "off-cpu"


def test_an_import_is_known_by_its_frames_and_a_servers_is_left_out() -> None:
    importing = (
        StackFrame("<module>", f"{PACKAGES}/openai/types.py", 3),
        StackFrame("_load", "<frozen importlib._bootstrap>", 9),
    )
    [remedy] = remedies(report_of(stall(*importing, ROUTE)))
    assert "import it when the program starts" in remedy.action
    assert breaches(report_of(stall(*importing, StackFrame("Config.load", f"{PACKAGES}/uvicorn/config.py", 9)))) == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("    zlib.compress(data)", "to_thread(zlib.compress, data)"),
        ("    hashlib.pbkdf2_hmac(1)", "to_thread(hashlib.pbkdf2_hmac, 1)"),
        ("    re.sub(1)", "process_pool"),
    ],
)
def test_a_computing_call_of_c_code_is_known_by_its_line(tmp_path: Path, line: str, code: str) -> None:
    source = tmp_path / "app.py"
    source.write_text(f"async def report():\n{line}\n")
    [remedy] = remedies(report_of(poll(StackFrame("report", str(source), 2))))
    assert code in remedy.code


def test_collections_of_the_longest_poll_do_not_speak_for_all_of_them() -> None:
    report = report_of(poll(COMPUTE, ROUTE, gc_ms=50, count=20))
    group = GroupMetrics("GET /report", explicit=True, polls=20, wall_time_ns=1200 * MS, gc_time_ns=200 * MS)
    [breach] = breaches(dataclasses.replace(report, groups=(group,)))
    assert breach.stall_class == "on-cpu"
    [breach] = breaches(dataclasses.replace(report, groups=(dataclasses.replace(group, gc_time_ns=900 * MS),)))
    assert breach.stall_class == "collecting"


def test_an_unseen_poll_that_kept_the_gil_called_c_code() -> None:
    unseen = stall(gil_ms=200)
    [remedy] = remedies(report_of(unseen))
    assert "keeps the GIL" in remedy.action
    assert "process_pool" in remedy.code


def test_a_library_that_calls_c_code_in_its_own_coroutine_gets_an_option_or_less_work() -> None:
    gzip = pytest.importorskip("starlette.middleware.gzip")
    lines = Path(gzip.__file__).read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "async def __call__" in text) + 1
    caller = StackFrame("GZipMiddleware.__call__", gzip.__file__, line)
    compress = StackFrame("compress", f"{PACKAGES}/zlib/__init__.py", 5)
    [remedy] = remedies(report_of(stall(compress, caller)))
    assert "thread_minimum_size" in remedy.code
    [remedy] = remedies(
        report_of(stall(compress, StackFrame("Route.handle", f"{PACKAGES}/starlette/routing.py", 1), caller))
    )
    assert "a coroutine of starlette calls it" in remedy.action


def test_a_place_in_a_greenlet_is_to_do_less_at_a_time(tmp_path: Path) -> None:
    source = tmp_path / "app.py"
    source.write_text("async def main():\n    listing(await rows())\n    session.execute(query)\n")
    execute = StackFrame("Session.execute", f"{PACKAGES}/sqlalchemy/orm/session.py", 5)
    row = StackFrame("row", f"{PACKAGES}/sqlalchemy/orm/loading.py", 5)
    [remedy] = remedies(report_of(stall(row, execute, StackFrame("main", str(source), 2))))
    assert "greenlet" in remedy.action
    assert "yield_per" in remedy.code
    [remedy] = remedies(report_of(stall(row, execute, StackFrame("main", str(source), 3))))
    assert remedy.modules == ("sqlalchemy",)


def test_what_is_made_anew_is_to_be_made_once() -> None:
    made = StackFrame("create_default_context", f"{Path(os.__file__).parent}/ssl.py", 770)
    for kind in ("on-cpu", "blocked"):
        [remedy] = remedies(report_of(stall(made, ROUTE, stall_class=kind)))
        assert "make it once" in remedy.action


def test_threads_that_take_turns_are_told_from_one_that_keeps_the_gil() -> None:
    starts = StackFrame("Thread.start", f"{Path(os.__file__).parent}/threading.py", 969)
    waiting = poll(starts, ROUTE, cpu_ms=1)
    [remedy] = remedies(report_of(waiting))
    assert (remedy.breach.stall_class, remedy.code) == ("gil", "sys.setswitchinterval(0.0005)")
    kept = dataclasses.replace(stall(group="(callbacks)", stall_class="gil"), culprit="worker in sort")
    assert {each.code for each in remedies(report_of(waiting, kept))} == {
        "await loop.run_in_executor(process_pool, function)  # process_pool = ProcessPoolExecutor()"
    }


def test_what_is_suspended_already_gets_no_setting() -> None:
    report = report_of(poll(ENCODER, OURS, UVICORN, wall_ms=26, cpu_ms=26))
    acted = dataclasses.replace(report, metrics=Metrics(polls=9, tasks=1, preemptions=5))
    [remedy] = remedies(acted)
    assert "suspends this already" in remedy.action
    assert not remedy.toml


def test_what_was_not_seen_gets_no_setting() -> None:
    [remedy] = remedies(report_of(poll(wall_ms=90, cpu_ms=90)))
    assert not remedy.toml


def test_without_code_of_the_program_only_the_place_itself_opts_in() -> None:
    [remedy] = remedies(report_of(stall(LIBRARY, OURS, UVICORN)))
    assert remedy.modules == ("markdown",)
    [remedy] = remedies(report_of(stall(dataclasses.replace(JSON, function="encode"), JSON, OURS, UVICORN)))
    assert "process_pool, dumps," in remedy.code


def test_polls_that_were_not_seen_count_with_one_that_was() -> None:
    found = breaches(
        report_of(poll(COMPUTE, ROUTE), poll(wall_ms=50, cpu_ms=50), poll(group="work", wall_ms=40, cpu_ms=40))
    )
    assert [(breach.record.group, breach.record.sampled, breach.cost_ns // MS) for breach in found] == [
        ("GET /report", True, 220),
        ("work", False, 80),
    ]


def test_short_polls_break_nothing_and_one_long_one_counts_alone() -> None:
    short, mixed = (
        poll(COMPUTE, ROUTE, wall_ms=15),
        dataclasses.replace(poll(ROUTE, wall_ms=30, count=9), total_wall_ns=99 * MS),
    )
    [breach] = breaches(report_of(short, mixed))
    assert breach.cost_ns == 30 * MS


def test_a_stall_and_its_polls_are_one_breach() -> None:
    assert len(breaches(report_of(stall(COMPUTE, ROUTE), poll(COMPUTE, ROUTE)))) == 1


def test_one_setting_is_advised_once_and_five_remedies_at_most() -> None:
    same = [stall(StackFrame("f", f"/srv/{number}.py", 1), ROUTE) for number in range(9)]
    assert len(remedies(report_of(*same))) == 1
    other = [stall(StackFrame("f", f"/srv/{number}.py", 1), ROUTE, stall_class="importing") for number in range(9)]
    assert len(remedies(report_of(*other))) == 5


@pytest.mark.parametrize(
    ("module", "instead"), [("requests", "httpx"), ("psycopg2", "psycopg.AsyncConnection"), ("redis", "redis.asyncio")]
)
def test_a_blocking_library_has_a_counterpart(module: str, instead: str) -> None:
    inner = StackFrame("recv_into", f"{PACKAGES}/urllib3/connection.py", 5)
    assert instead in counterpart((inner, StackFrame("get", f"{PACKAGES}/{module}/api.py", 73), ROUTE))
    assert package_of(f"{PACKAGES}/{module}/api.py") == module
    assert package_of(time.__name__) == package_of(ROUTE.filename) == ""


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("    time.sleep(1)", "asyncio.sleep"),
        ("    f.result()", "wrap_future"),
        ("    s.recv(9)", "open_connection"),
        ("    x()", ""),
    ],
)
def test_a_blocking_call_of_c_code_is_known_by_its_line(tmp_path: Path, line: str, instead: str) -> None:
    source = tmp_path / "app.py"
    source.write_text(f"async def report():\n{line}\n")
    found = counterpart((StackFrame("report", str(source), 2),))
    assert instead in found if instead else not found


def test_the_advised_configuration_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "advised.toml"
    records = (stall(LIBRARY, ROUTE), stall(COMPUTE, ROUTE, group='a "b"\\n'), stall(COMPUTE, ROUTE, stall_class="gil"))
    report = dataclasses.replace(report_of(*records), groups=(GroupMetrics('a "b"\\n', explicit=True, polls=1),))
    path.write_text(advised_configuration([report]))
    config = read_config_file(path)
    assert config.preempt == "anywhere"
    assert config.preemptible_modules == ("markdown",)
    assert config.group_policy('a "b"\\n').preempt == "anywhere"
    assert "process_pool = ProcessPoolExecutor()" in path.read_text()


def test_no_advice_is_a_valid_configuration(tmp_path: Path) -> None:
    path = tmp_path / "advised.toml"
    path.write_text(advised_configuration([]))
    assert read_config_file(path) == TierConfig()


@pytest.mark.parametrize("name", ["GET /users/{id}", "GET /[a]*?", 'a "b" \\ c', "\x7f\n\U0001f600", "caf\udce9"])
def test_the_pattern_of_a_group_matches_its_name(name: str, tmp_path: Path) -> None:
    report = report_of(stall(COMPUTE, ROUTE, group=name))
    report = dataclasses.replace(report, groups=(GroupMetrics(name, explicit=True, polls=1),))
    path = tmp_path / "advised.toml"
    path.write_text(advised_configuration([report]), encoding="utf-8")
    config = read_config_file(path)
    assert config.group_policy(name).preempt == "anywhere"
    assert config.group_policy(f"{name}x").preempt is None


@given(process_reports)
def test_whatever_a_report_holds_advice_can_be_read_and_pasted(report: Report) -> None:
    text = advised_configuration([report])
    tomllib.loads(text)
    assert all(line.isprintable() for line in text.splitlines())
    assert all(len(line) <= 79 for line in target_lines(report))
