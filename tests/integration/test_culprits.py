"""Every culprit of the corpus is named while it blocks: function, line, class, on asyncio and on uvloop."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# The watchdog judges by what threads did for 30 ms, and on a shared machine other programs decide some of that.
pytestmark = pytest.mark.timing

CULPRITS = Path(__file__).with_name("culprits")
NAMES = sorted(path.stem for path in CULPRITS.glob("*.py") if path.stem not in ("__init__", "run"))
NEEDS = {"dataframe_apply": "pandas", "encoder": "fastapi", "template": "jinja2", "matrix": "numpy"}
# A thread that has to share its processor with others may be seen waiting for it just when it is looked at.
MAY_ALSO_BE = {"on-cpu": {"on-cpu", "processor"}}


def constants(name: str) -> dict[str, Any]:
    """Read the upper-case names that a culprit's file assigns, without running it."""
    found: dict[str, Any] = {}
    for line in (CULPRITS / f"{name}.py").read_text().splitlines():
        key, separator, value = line.partition(" = ")
        if separator and key in ("CLASS", "CULPRIT", "KEEPS_THE_GIL", "IS_TASK"):
            found[key] = json.loads(value.lower() if value in ("True", "False") else value)
    return found


def place(name: str) -> tuple[str, list[int]]:
    """Find the marked lines of a culprit: the head of a loop is as right as its body."""
    path = CULPRITS / f"{name}.py"
    lines = [number for number, text in enumerate(path.read_text().splitlines(), 1) if text.endswith("# <- here")]
    return str(path), lines


def run(name: str, loop: str) -> dict[str, Any]:
    """Run a culprit and return what was seen."""
    done = subprocess.run(
        [sys.executable, str(CULPRITS / "run.py"), name, loop], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def check(name: str, seen: dict[str, Any]) -> None:
    """Assert that what was seen is what the culprit did."""
    expected, (filename, lines) = constants(name), place(name)

    assert seen["errors"] == 0
    classes = MAY_ALSO_BE.get(expected["CLASS"], {expected["CLASS"]})
    assert seen["stalls"], "nothing was seen"
    matching = [
        stall
        for stall in seen["stalls"]
        if any(frame["filename"] == filename and frame["line"] in lines for frame in stall["stack"])
    ]
    assert matching, seen["stalls"]
    assert {stall["stall_class"] for stall in matching} & classes, matching
    worst = matching[0]
    if expected.get("IS_TASK", True):
        assert (worst["group"], worst["task"]) == ("culprit", "the culprit")
    else:
        assert worst["group"] == "(callbacks)"
    if "CULPRIT" in expected:
        assert expected["CULPRIT"] in worst["culprit"]
    if "KEEPS_THE_GIL" in expected:
        # It answered only when it was through: a good part of the stall was spent waiting for it.
        assert worst["gil_held_ns"] > worst["wall_ns"] / 4


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("name", NAMES)
def test_culprit_is_named(name: str, loop: str) -> None:
    """GIVEN a program that blocks its loop; WHEN it runs governed; THEN the stall tells who, where and how."""
    for module in (NEEDS.get(name), "uvloop" if loop == "uvloop" else None):
        if module is not None and importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    check(name, run(name, loop))
