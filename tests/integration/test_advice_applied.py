"""Advice is right: each kind of offender gets a remedy that fits, and a setting works when it is applied."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from asyncio_pulse.metrics.model import Report
from asyncio_pulse.reports.advice import remedies
from asyncio_pulse.reports.json import read_reports
from tests.support.running import PROGRAMS

PULSE = (sys.executable, "-m", "asyncio_pulse")
OFFENDERS = str(PROGRAMS / "three_offenders.py")


def run(directory: Path, *arguments: str) -> Report:
    path = directory / "report.json"
    subprocess.run(
        [*PULSE, "run", "--quiet", "--json", path, *arguments], check=True, timeout=60, stderr=subprocess.DEVNULL
    )
    [report] = read_reports(str(path))
    return report


@pytest.mark.timing
def test_code_that_computes_gets_a_setting_that_keeps_the_target(tmp_path: Path) -> None:
    advised = tmp_path / "advised.toml"
    before = run(tmp_path, "--advise", str(advised), OFFENDERS, "computing")
    [remedy] = remedies(before)
    assert (remedy.breach.stall_class, remedy.breach.where.function) == ("on-cpu", "compute")
    after = run(tmp_path, "--config", str(advised), OFFENDERS, "computing")
    assert after.metrics.preemptions > 0
    assert before.loop_metrics[0].late_ns > 2 * after.loop_metrics[0].late_ns


REMEDIED = PROGRAMS / "remedied.py"
LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere the system does not tell why a thread was off the CPU"
)


@pytest.mark.timing
@pytest.mark.parametrize(
    ("kind", "stall_class", "place", "line", "remedied"),
    [
        pytest.param("compressing", "on-cpu", "compressing", "        zlib.compress(DATA)", "        {code}"),
        pytest.param("fetching", "blocked", "fetch", "        fetch(0.15)", "        {code}", marks=LINUX),
        pytest.param("sleeping", "blocked", "sleeping", "        time.sleep(0.15)", "        {code}", marks=LINUX),
        pytest.param("counting", "on-cpu", "digits", "        digits(60_000)", "        {code}"),
        pytest.param("stepping", "on-cpu", "compute", "async def step()", "{code}\nasync def step()"),
        pytest.param("importing", "importing", "<module>", "import zlib\n", "import zlib\n{code}\n"),
        pytest.param("collecting", "collecting", "collecting", "    # REMEDY", "    {code}"),
        pytest.param(
            "starting", "blocked", "starting",
            'process = await asyncio.create_subprocess_exec("true", **options)\n        await process.wait()', "{code}",
            marks=LINUX,
        ),
    ],
)  # fmt: skip
def test_the_line_of_a_remedy_keeps_the_target_better(
    kind: str, stall_class: str, place: str, line: str, remedied: str, tmp_path: Path
) -> None:
    (tmp_path / "imported_late.py").write_text(
        "import time\nend = time.thread_time() + 0.3\nwhile time.thread_time() < end: pass\n"
    )
    program = tmp_path / "program.py"
    source = REMEDIED.read_text()
    program.write_text(source)
    before = run(tmp_path, str(program), kind)
    remedy = remedies(before)[0]
    assert (remedy.breach.stall_class, remedy.breach.where.function) == (stall_class, place)
    assert before.loop_metrics[0].kept_ratio < 0.9
    assert source.count(line) == 1
    # What a program is to start, advice cannot know.
    code = remedy.code.replace("[program, argument]", '["true"], **options')
    program.write_text(f"import asyncio_pulse as pulse\n{source.replace(line, remedied.format(code=code))}")
    after = run(tmp_path, str(program), kind)
    assert before.loop_metrics[0].late_ns > 2 * after.loop_metrics[0].late_ns


@pytest.mark.timing
def test_code_that_waits_in_a_turn_without_end_gets_a_pause(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, time\nasync def main():\n    end = time.monotonic() + 3\n"
        "    while time.monotonic() < end:\n        await asyncio.sleep(0)\nasyncio.run(main())\n"
    )
    before = run(tmp_path, str(program))
    [remedy] = remedies(before)
    assert (remedy.breach.stall_class, remedy.breach.where.function) == ("spinning", "main")
    program.write_text(program.read_text().replace("await asyncio.sleep(0)", remedy.code))
    after = run(tmp_path, str(program))
    assert before.loop_metrics[0].turns > 2 * after.loop_metrics[0].turns
    assert remedies(after) == []


@pytest.mark.timing
def test_c_code_that_computes_goes_to_a_process(tmp_path: Path) -> None:
    found = remedies(run(tmp_path, OFFENDERS, "encoding"))
    assert any("process_pool, json.dumps, rows" in remedy.code for remedy in found), found
    assert not any(remedy.toml for remedy in found if "json" in remedy.breach.record.filename)


def test_advice_replaces_no_file(tmp_path: Path) -> None:
    kept = tmp_path / "asyncio-pulse.toml"
    kept.write_text("latency_target_ms = 5\n")
    refused = subprocess.run(
        [*PULSE, "run", "--advise", kept, "-c", "print(1)"], check=False, capture_output=True, text=True, timeout=60
    )
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "exists" in refused.stderr
    assert kept.read_text() == "latency_target_ms = 5\n"


def test_a_diagnosis_says_the_same_of_a_kept_report(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    ran = subprocess.run(
        [*PULSE, "run", "--json", path, OFFENDERS, "computing"], capture_output=True, text=True, timeout=60, check=True
    )
    diagnosis = subprocess.run([*PULSE, "diagnose", path], capture_output=True, text=True, timeout=60, check=True)
    assert diagnosis.stdout.count("latency target 20 ms") == 1
    for line in diagnosis.stdout.splitlines():
        assert line in ran.stderr


@pytest.mark.parametrize(("content", "message"), [(None, "cannot read"), ("{}", "not a report"), ("[", "not JSON")])
def test_a_file_that_is_no_report_is_refused(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    refused = subprocess.run([*PULSE, "diagnose", path], check=False, capture_output=True, text=True, timeout=60)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert message in refused.stderr
