"""Run the interpreter's own asyncio tests plain and with every loop governed, and tell the differences.

    python compare.py [--modules NAME ...]

Each module runs in a process of its own, once each way. A test whose outcome differs is a failure, unless `KNOWN` has its
name: then the reason is printed. A module that makes tasks must have been governed: its polls are counted.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RUN_MODULE = Path(__file__).with_name("run_module.py")

KNOWN = {
    "test_set_task_factory": "asserts that a new loop has no task factory; a governed one has ours",
    "test_set_task_factory_invalid": "likewise",
    "test_ensure_future_task_awaitable": "asserts that task.get_coro() is a types.CoroutineType; it is a GovernedCoroutine",
}
"""Tests that see the difference that governing is. None is about cancellation, order or exceptions."""

WITHOUT_TASKS = {"test_protocols", "test_transports", "test_windows_events", "test_windows_utils"}
"""Modules that run no task on this platform."""

TIMEOUT_SECONDS = 600


def modules() -> list[str]:
    """Name the test modules that this interpreter has."""
    try:
        import test.test_asyncio as package
    except ImportError:
        sys.exit(f"{sys.executable} comes without its test suite; Debian has it as libpython3.X-testsuite")
    return sorted(path.stem for path in Path(package.__path__[0]).glob("test_*.py"))


def run(module: str, *arguments: str) -> dict[str, Any]:
    """Run one module; a module that cannot be run here has no outcomes."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory, "outcomes.json")
        command = [sys.executable, str(RUN_MODULE), f"test.test_asyncio.{module}", str(output), *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            # Background jobs of a shell ignore it, and some of the tests would wait for it for ever.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        if not output.exists():
            # unittest.SkipTest at import: the module is for another platform.
            if "SkipTest" in done.stderr:
                return {"outcomes": {}, "polls": 0}
            sys.exit(f"{module} {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        answer: dict[str, Any] = json.loads(output.read_text())
        return answer


def differences(plain: dict[str, str], governed: dict[str, str]) -> list[tuple[str, str, str]]:
    """List (test, plain outcome, governed outcome) of tests that ended differently."""
    return [
        (test, plain.get(test, "not run"), governed.get(test, "not run"))
        for test in sorted(plain.keys() | governed.keys())
        if plain.get(test, "not run").partition(":")[0] != governed.get(test, "not run").partition(":")[0]
    ]


def compare(module: str) -> tuple[int, int, int]:
    """Run a module both ways and tell; how many tests, how many polls, how many unexpected differences."""
    plain = run(module)
    governed = run(module, "govern")
    unexpected = 0
    for test, before, after in differences(plain["outcomes"], governed["outcomes"]):
        reason = KNOWN.get(test.rpartition(".")[2])
        if reason is None:
            # A test that depends on time may fail under load: it is different only if it is so twice.
            again = run(module, "govern")["outcomes"].get(test, "not run")
            if again.partition(":")[0] == before.partition(":")[0]:
                continue
            unexpected += 1
        print(f"  {test}: {before.splitlines()[0]} -> {after if reason is None else reason}")
    tests = len(governed["outcomes"])
    if tests and module not in WITHOUT_TASKS and governed["polls"] == 0:
        print(f"  {module}: nothing was governed")
        unexpected += 1
    return tests, governed["polls"], unexpected


def main() -> None:
    """Compare all modules, or those named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", nargs="*", metavar="NAME")
    chosen = parser.parse_args().modules or modules()
    total_tests = total_polls = total_unexpected = 0
    for module in chosen:
        tests, polls, unexpected = compare(module)
        print(f"{module:24} {tests:5} tests {polls:7} governed polls {unexpected:3} unexpected", flush=True)
        total_tests, total_polls = total_tests + tests, total_polls + polls
        total_unexpected += unexpected
    version = sys.version.split()[0]
    print(f"CPython {version}: {total_tests} tests, {total_polls} governed polls, {total_unexpected} unexpected")
    sys.exit(1 if total_unexpected else 0)


if __name__ == "__main__":
    main()
