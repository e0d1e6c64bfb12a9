"""The parts of the core that know nothing of Python, checked by programs in C."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.building import C_TESTS, NATIVE, compile_c, environment

RUN_QUEUE = [f"queue/{name}.c" for name in ("runqueue", "flows", "credit", "lottery", "deficit")]


@pytest.mark.parametrize(
    ("program", "parts"),
    [
        ("check_histogram", []),
        ("check_totals", ["base/totals.c"]),
        ("check_allowance", ["base/allowance.c"]),
        ("check_clock", ["base/thread_clock.c"]),
        ("check_diagnosis", ["base/diagnosis.c", "base/os_thread.c"]),
        ("check_off_cpu", ["base/off_cpu.c", "base/os_thread.c", "base/thread_clock.c"]),
        ("check_alarm", ["base/alarm.c", "base/os_thread.c"]),
        ("check_runqueue", RUN_QUEUE),
    ],
    ids=["histogram", "totals", "allowance", "clock", "diagnosis", "off_cpu", "alarm", "runqueue"],
)
def test_what_needs_no_interpreter(program: str, parts: list[str], tmp_path: Path) -> None:
    sources = [C_TESTS / f"{program}.c", *(NATIVE / part for part in parts)]
    binary = compile_c(tmp_path / program, *sources)
    command = [str(binary), str(tmp_path / "clocksource")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout.split()[0]) > 1000
