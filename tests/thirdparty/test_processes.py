"""What wants a process for itself: gevent, imported or active, and a suite of pytest-asyncio."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.support.running import Ending, environment, run, run_governed, run_plain
from tests.thirdparty.ways import Way

PROGRAMS = Path(__file__).parent / "programs"

COUNT = """
import asyncio
import asyncio_pulse as pulse

async def main():
    for _ in range(100):
        await asyncio.sleep(0)
    manager = pulse.get_manager()
    print(manager.report().slow_queue.parked > 0, manager.report().preemption.preemptions > 0)

pulse.run(main())
"""


def run_in(way: Way, directory: Path, *program: str) -> Ending:
    """Run a program to its end; governed it must have been, and the report says what it said."""
    # Of pytest's plugins the suite wants just one.
    variables = {**way.environment(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    options = {"cwd": PROGRAMS, "env": environment(**variables)}
    if not way.governed:
        return run_plain(*program, **options)
    ending = run_governed(directory, *program, **options)
    assert sum(group["polls"] for group in ending.groups().values()) > 0, "nothing was governed"
    return ending


@pytest.mark.parametrize("use", ["imported", "active"])
def test_gevent(way: Way, tmp_path: Path, use: str) -> None:
    ending = run_in(way, tmp_path, "gevent_beside_asyncio.py", use)
    answers = [[f"{name}{number}" for number in range(10)] for name in "ABC"]
    ticks = " [0, 1, 2]" if use == "active" else ""
    code, stdout, stderr = ending.own
    assert (code, stdout) == (0, f"{[*answers, ['THREAD']]}{ticks}\n")
    # Chaos asks for preemption, which is refused there.
    refused = way.seed is not None and use == "active"
    said = ": nothing is preempted: gevent has patched the standard library, or its hub runs; "
    assert (stderr, said in ending.report) == ("", refused)


def test_what_opentelemetry_instrument_starts_is_governed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import asyncio, os\nasyncio.run(asyncio.sleep(0))\nprint('ASYNCIO_PULSE_RUN' in os.environ)\n")
    exporters = {f"OTEL_{kind}_EXPORTER": "none" for kind in ("TRACES", "METRICS", "LOGS")}
    ending = run_governed(tmp_path, "opentelemetry-instrument", sys.executable, program, env=environment(**exporters))
    assert (ending.code, ending.stdout) == (0, "True\n")
    assert "sleep" in ending.groups()


def test_a_suite_of_pytest_asyncio(way: Way, tmp_path: Path) -> None:
    plugins = ["-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin", "--noconftest"]
    settings = ["-c", os.devnull, "--rootdir", ".", "-W", "error", "-o", "asyncio_default_fixture_loop_scope=function"]
    ending = run_in(way, tmp_path, "-m", "pytest", "-q", *plugins, *settings, "pytest_asyncio_suite.py")
    assert re.search(r"^9 passed, 1 xfailed in", ending.stdout, re.MULTILINE), ending.stdout
    assert ending.code == 0


def test_a_process_that_chaos_is_to_meet_meets_it(tmp_path: Path) -> None:
    """The variable is what the two above rely on: nothing that they print tells whether somebody was struck."""
    for way, met in ((Way(governed=True), False), (Way(governed=True, seed=1), True)):
        ending = run([sys.executable, "-c", COUNT], env=environment(**way.environment()), cwd=tmp_path)
        assert ending.stdout.split() == [str(met)] * 2
