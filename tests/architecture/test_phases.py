"""`make test` has two runs of pytest: both take place, whatever comes of the first, and each can fail it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "run_tests.sh"


@pytest.mark.parametrize("others", [0, 1, 5])
@pytest.mark.parametrize("timing", [0, 1, 5])
def test_both_runs_take_place_and_each_can_fail(others: int, timing: int, tmp_path: Path) -> None:
    python, calls = tmp_path / "python", tmp_path / "calls"
    python.write_text(
        f'#!/bin/sh\necho "$*" >>{calls}\ncase "$*" in *"not timing"*) exit {others};; *timing*) exit {timing};; esac\n'
    )
    python.chmod(0o755)
    done = subprocess.run([SCRIPT, python, "-q", "tests/unit"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode != 0) is (others != 0 or timing != 0)
    ran = [line for line in calls.read_text().splitlines() if line.startswith("-m pytest ")]
    assert [line.partition(" -m ")[2] for line in ran] == [
        "not timing -q tests/unit",
        "timing -q tests/unit",
    ]
