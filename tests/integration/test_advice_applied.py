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


@pytest.mark.timing
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not tell why a thread was off the CPU")
def test_code_that_blocks_gets_what_asyncio_has_instead(tmp_path: Path) -> None:
    [remedy] = remedies(run(tmp_path, OFFENDERS, "blocking"))
    assert (remedy.breach.stall_class, remedy.code) == ("blocked", "await asyncio.sleep(...)")


@pytest.mark.timing
def test_c_code_that_computes_goes_to_a_process(tmp_path: Path) -> None:
    found = remedies(run(tmp_path, OFFENDERS, "encoding"))
    assert any("process_pool, dumps, ..." in remedy.code for remedy in found), found
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
