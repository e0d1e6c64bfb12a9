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
def test_demo_shows_the_starvation_and_names_its_cause(loop: str, tmp_path: Path) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    output = tmp_path / "out"
    ran = _run("--seconds", "1", "--loop", loop, "--output", str(output))
    assert ran.returncode == 0, ran.stderr
    result = json.loads((output / "demo.json").read_text())
    alone, beside, governed = result["phases"]
    assert len(alone["samples"]) == len(beside["samples"]) == len(governed["samples"]) == 200
    assert (len(alone["report_ms"]), len(beside["report_ms"]), len(governed["report_ms"])) == (0, 1, 1)
    # What is measured from intended times sees the stall: its length is a good part of the heavy request's.
    assert beside["percentiles_ms"]["max"] > 0.5 * min(beside["report_ms"])
    assert beside["percentiles_ms"]["p99"] > 3 * alone["percentiles_ms"]["p50"]
    # Nothing is preempted under a trace function, such as that of coverage.
    if not any(key.startswith("COVERAGE_") for key in os.environ):
        assert governed["percentiles_ms"]["p99"] < beside["percentiles_ms"]["p99"] / 2
    culprit = result["culprit"]
    place = culprit["place"]
    assert (place["function"], Path(place["filename"]).parts[-2:]) == ("jsonable_encoder", ("fastapi", "encoders.py"))
    # Encoding is nearly all there is to a heavy request; half leaves room for waiting behind another one.
    assert culprit["wall_ms"] > 0.5 * min(beside["report_ms"])
    assert f"jsonable_encoder() at\n  fastapi/encoders.py:{place['line']}" in ran.stdout
    plain, observed, acting = (result["health_check"][mode] for mode in ("plain", "observe", "act"))
    assert (plain["put_off"], observed["put_off"]) == (0, 0)
    assert acting["put_off"] > 0
    assert acting["p50"] < plain["p50"] / 3
    assert acting["p50"] < observed["p50"] / 3
    ElementTree.parse(output / "ping-latency.svg")
    report = json.loads((output / "report.json").read_text())
    assert place in report["processes"][0]["worst_polls"][culprit["rank"] - 1]["stack"]
    for name in ("ping-latency.svg", "demo.json", "report.json", "server.log"):
        assert str(output / name) in ran.stdout
    assert max(map(len, ran.stdout.partition("\nFiles:")[0].split("latency in ms", 1)[1].splitlines())) <= 80


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
        assert "/ping alone" in demo.stderr.readline()
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
