"""`asyncio-pulse demo` as a user runs it: real server, real load, real report."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")

# What these compare are times, too; but nothing else runs the demo's code under the coverage gate, which leaves out what is
# marked so.
pytestmark = pytest.mark.flaky(reruns=2)

DEMO = [sys.executable, "-m", "asyncio_pulse", "demo"]


def _run(*arguments: str, command: list[str] = DEMO) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *arguments], check=False, capture_output=True, text=True, timeout=110)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_advised_file_keeps_the_light_route_fast(loop: str, tmp_path: Path) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    output = tmp_path / "out"
    ran = _run("--seconds", "2", "--loop", loop, "--output", str(output))
    assert ran.returncode == 0, ran.stderr
    phases = json.loads((output / "demo.json").read_text())["phases"]
    assert [phase["name"] for phase in phases] == ["plain", "nothing changed", "advised file"]
    # The same work in each.
    assert [len(phase["samples"]) for phase in phases] == [400] * 3
    assert [len(phase["report_ms"]) for phase in phases] == [2] * 3
    assert all(phase["cpu_s"] > 0.2 for phase in phases)
    plain, unchanged, advised = (phase["percentiles_ms"]["p99"] for phase in phases)
    # What is measured from intended times sees the stall: its length is a good part of the heavy request's.
    assert plain > 0.5 * min(phases[0]["report_ms"])
    # Nothing is preempted under a trace function, such as that of coverage.
    if not any(key.startswith("COVERAGE_") for key in os.environ):
        assert plain > 1.3 * unchanged > 2 * advised
    assert '[groups."GET /report"]\npreempt = "anywhere"\n' in (output / "advised.toml").read_text()
    assert (output / "advised.toml").read_text() in ran.stdout
    assert "GET /report: bought_together, " in ran.stdout
    ElementTree.parse(output / "demo.svg")
    for name in ("demo.svg", "demo.json", "report.json", "advised.toml", "server.log", "service.py"):
        assert str(output / name) in ran.stdout
    table = ran.stdout.partition("latency of /ping")[2].partition("What the second")[0]
    assert max(map(len, table.splitlines())) <= 80


@pytest.mark.skipif(os.name != "posix", reason="process groups")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process(number: signal.Signals, tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [*DEMO, "--seconds", "60", "--output", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert demo.stderr is not None
        # The first progress line: server and generator are at work.
        assert "plain" in demo.stderr.readline()
        demo.send_signal(number)
        rest = demo.communicate(timeout=30)[1]
        assert demo.returncode == 130
        assert "interrupted" in rest
        assert "Traceback" not in rest
        with pytest.raises(ProcessLookupError):
            os.killpg(demo.pid, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(demo.pid, signal.SIGKILL)
        demo.communicate()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--seconds", "0"], "--seconds"),
        (["--seconds", "nan"], "--seconds"),
        (["--seconds", "long"], "--seconds"),
        (["--loop", "curio"], "--loop"),
        (["--output", "/dev/null/x"], "--output"),
        (["extra"], "extra"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments: list[str], text: str) -> None:
    ran = _run(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert len(ran.stderr.splitlines()) == 1
    assert text in ran.stderr


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn"])
def test_a_missing_extra_is_named(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from asyncio_pulse.demo import main; main([])"
    ran = _run(command=[sys.executable, "-c", code])
    assert (ran.returncode, ran.stdout) == (2, "")
    assert len(ran.stderr.splitlines()) == 1
    assert missing in ran.stderr
    assert "pip install asyncio-pulse[demo]" in ran.stderr
