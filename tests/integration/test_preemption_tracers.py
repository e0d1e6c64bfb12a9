"""Coverage, and trace functions that come and go, see what they see without preemption."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import asyncio_pulse as pulse
from tests.support.loops import LoopFactory
from tests.support.preempting import AT_ONCE_US, MANY, refused, run_preempting, until_preempted
from tests.support.running import TIMEOUT_S

PROGRAM = """
import asyncio
import asyncio_pulse as pulse

def inner(number):
    if number % 2:
        return number
    return -number

async def computing():
    total = 0
    for number in range(10_000):
        total += inner(number)
    return total

async def never():
    return 1

async def main():
    manager = pulse.get_manager()
    results = await asyncio.gather(*(pulse.spawn(computing(), preemptible=True) for _ in range(3)))
    for _ in range(ROUNDS):
        await asyncio.gather(*(pulse.spawn(computing(), preemptible=True) for _ in range(3)))
    print(results, manager.get_metrics().preemptions, manager.report().preemption.refused["traced"])

pulse.run(main(), config=pulse.TierConfig(poll_budget_us=50, mode=MODE, max_tier="monitor"))
"""
CORES = ["ctrace", *(["sysmon"] if sys.version_info >= (3, 12) else [])]


def lines_run(directory: Path, core: str, mode: str) -> tuple[list[int], int, int]:
    """Run the program under coverage; the lines that were run, preemptions, refusals because of a tracer."""
    pytest.importorskip("coverage")
    program = directory / "program.py"
    rounds = 100 if mode == "act" and core == "sysmon" else 1
    program.write_text(PROGRAM.replace("MODE", repr(mode)).replace("ROUNDS", str(rounds)))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    environment |= {"COVERAGE_CORE": core, "COVERAGE_FILE": str(directory / "data"), "COVERAGE_RCFILE": os.devnull}
    coverage = [sys.executable, "-m", "coverage"]

    def call(*arguments: str) -> str:
        done = subprocess.run(
            [*coverage, *arguments],
            env=environment,
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    printed = call("run", "program.py")
    assert printed.startswith("[5000, 5000, 5000]"), printed
    call("json", "-q", "-o", "out.json")
    report: dict[str, Any] = json.loads((directory / "out.json").read_text())
    count, traced = (int(word) for word in printed.split()[-2:])
    return report["files"]["program.py"]["executed_lines"], count, traced


@pytest.mark.parametrize("core", CORES)
def test_coverage_sees_the_same_lines(tmp_path: Path, core: str) -> None:
    lines, count, traced = lines_run(tmp_path, core, "act")
    plain, none, _ = lines_run(tmp_path, core, "observe")
    assert lines == plain
    assert none == 0
    if core == "ctrace":
        # A trace function: nothing is preempted, and that is counted.
        assert (count, traced > 0) == (0, True)
    else:
        assert count > MANY


def test_a_trace_function_may_come_and_go(loop_factory: LoopFactory) -> None:
    traced: list[str] = []

    def trace(frame: FrameType, _event: str, _argument: object) -> None:
        traced.append(frame.f_code.co_name)

    def called() -> None:
        for _ in range(100):
            pass

    async def computing(done: asyncio.Event) -> None:
        while not done.is_set():
            called()

    async def main() -> None:
        done = asyncio.Event()
        tasks = [pulse.spawn(computing(done), preemptible=True) for _ in range(2)]
        for goal in range(MANY // 5, MANY + 2, MANY // 5):
            await until_preempted(goal)
            # Both stand in the middle of their code when it comes. The next of them to run is not left until it has gone.
            sys.settrace(trace)
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            await asyncio.sleep(0.02)
        done.set()
        await asyncio.gather(*tasks)
        assert refused("traced") > 0

    earlier = signal.signal(signal.SIGALRM, lambda *_: sys.settrace(None))
    try:
        run_preempting(main(), loop_factory, poll_budget_us=AT_ONCE_US)
    finally:
        sys.settrace(None)
        signal.signal(signal.SIGALRM, earlier)
    assert "called" in traced
