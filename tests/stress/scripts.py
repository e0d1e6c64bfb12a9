"""Runs the scripts of `faults/`, each in a process of its own: what it does may take the process along."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "faults"
TIMEOUT_S = 3_600 if os.environ.get("ASYNCIO_PULSE_STRESS") == "1" else 100
FAULTS = re.compile(r"Fatal Python error|Traceback|Exception ignored|Segmentation fault|runtime error:|Sanitizer")


def run_script(name: str, *arguments: str | Path, **variables: str) -> str:
    """Run a script to its good end, and give what it wrote: figures, then `ok`.

    Raises:
        AssertionError: It did not end well, or Python complained of something.
    """
    command = [sys.executable, "-X", "faulthandler", SCRIPTS / f"{name}.py", *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    environment |= {"PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    print(done.stdout, end="")
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["ok"]), done.stderr
    assert not FAULTS.search(done.stderr), done.stderr
    return done.stdout
