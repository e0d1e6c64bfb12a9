"""The comparison of other projects' test suites, plain and governed, finds what differs and forgives only what it lists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOREIGN_TESTS = Path(__file__).parents[2] / "tools" / "foreign_tests"

# How a suite runs one module: the outcomes are those of the test, the second time round those of a calm machine.
SCRIPT = """
import json, os, pathlib, sys
module, output, *govern = sys.argv[1:]
runs = pathlib.Path(__file__).with_name("runs")
runs.write_text(runs.read_text() + "." if runs.exists() else ".")
first_time = len(runs.read_text()) <= 2
outcomes = {"m.Class.test_same": "passed", "m.Class.test_broken": "failed: at 0x1" if govern else "failed: at 0x2"}
if module == "different" or (module == "unlucky" and first_time):
    outcomes["m.py::test_changed[asyncio]"] = "failed: in f\\ntext" if govern else "passed"
elif module == "vanishing" and not govern:
    outcomes["m.py::test_changed[asyncio]"] = "passed"
if module == "skipped":
    outcomes = {"m.Class.test_elsewhere": "skipped: for another platform"}
polls = 7 if govern and module not in ("idle", "skipped") else 0
chaos = os.environ.get("ASYNCIO_PULSE_CHAOS") == "1,0.5,0.5"
assert govern or not chaos
parked, preempted = 3 * (chaos and module != "calm"), 2 * (chaos and module not in ("calm", "polite"))
counts = {"polls": polls, "parked": parked, "preempted": preempted}
pathlib.Path(output).write_text(json.dumps({"outcomes": outcomes, **counts}))
"""

COMPARE = """
import pathlib, sys
from comparing import Kept, Suite, compare
kept = [Kept("test_chang*", "^tex.$", "a good reason")] if "kept" in sys.argv else []
without_tasks = {"idle"} if "without_tasks" in sys.argv else set()
chaos = "1,0.5,0.5" if "chaos" in sys.argv else ""
compare(Suite("others", pathlib.Path(sys.argv[1]), [sys.argv[2]], kept, without_tasks, chaos=chaos))
"""


def compare(directory: Path, module: str, *options: str) -> tuple[int, str]:
    """Compare one module; the exit status and what was printed."""
    script = directory / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, str(script), module, *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": str(FOREIGN_TESTS)},
    )
    assert not done.stderr
    return done.returncode, done.stdout


@pytest.mark.parametrize("module", ["different", "vanishing"])
def test_a_test_that_ends_differently_is_a_failure(tmp_path: Path, module: str) -> None:
    status, text = compare(tmp_path, module)
    assert status == 1
    assert "m.py::test_changed[asyncio]: passed -> " in text
    assert "test_same" not in text


def test_a_test_on_the_kept_list_is_told_with_its_reason(tmp_path: Path) -> None:
    status, text = compare(tmp_path, "different", "kept")
    assert status == 0
    assert "m.py::test_changed[asyncio]: passed -> a good reason" in text


def test_a_test_on_the_kept_list_may_not_end_in_another_way(tmp_path: Path) -> None:
    status, text = compare(tmp_path, "vanishing", "kept")
    assert status == 1
    assert "m.py::test_changed[asyncio]: passed -> not run" in text


def test_a_test_that_differs_only_once_is_not_different(tmp_path: Path) -> None:
    status, text = compare(tmp_path, "unlucky")
    assert (status, "test_changed" in text) == (0, False)


def test_a_module_that_was_not_governed_is_a_failure(tmp_path: Path) -> None:
    status, text = compare(tmp_path, "idle")
    assert status == 1
    assert "nothing was governed" in text


def test_a_module_that_was_skipped_need_not_be_governed(tmp_path: Path) -> None:
    status, text = compare(tmp_path, "skipped")
    assert status == 0
    assert "0 tests,    1 skipped" in text


def test_a_module_without_tasks_need_not_be_governed(tmp_path: Path) -> None:
    status, _ = compare(tmp_path, "idle", "without_tasks")
    assert status == 0


def test_chaos_meets_the_governed_run_alone(tmp_path: Path) -> None:
    status, text = compare(tmp_path, "same", "chaos")
    assert status == 0
    assert "3 parked,      2 preempted" in text


@pytest.mark.parametrize("module", ["calm", "polite"])
def test_chaos_that_does_not_strike_is_a_failure(tmp_path: Path, module: str) -> None:
    status, text = compare(tmp_path, module, "chaos")
    assert status == 1
    assert "chaos did not strike" in text


def test_a_test_that_fails_either_way_is_told(tmp_path: Path) -> None:
    status, text = compare(tmp_path, "same")
    assert status == 0
    assert "m.Class.test_broken: failed either way" in text
    assert "2 tests" in text
