"""Crashes, forks, leaks and the interpreter's end: each script of `tests/isolated` in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "isolated"
NO_SCRIPTS = {"measuring", "offending"}
TIMEOUT_S = 3600 if os.environ.get("ASYNCIO_PULSE_STRESS") == "1" else 100
FAULTS = re.compile(r"Fatal Python error|Traceback|Exception ignored|Segmentation fault|runtime error:|Sanitizer")

names = sorted(path.stem for path in SCRIPTS.glob("*.py") if path.stem not in NO_SCRIPTS)


@pytest.mark.parametrize("name", names)
def test_script(name: str) -> None:
    command = [sys.executable, "-X", "faulthandler", str(SCRIPTS / f"{name}.py")]
    # No trace function: it takes part in what is measured, and fails where memory or the interpreter ends.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
    assert not FAULTS.search(done.stderr), done.stderr
