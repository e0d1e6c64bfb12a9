"""Compare the interpreter's own asyncio tests, plain and governed: `python cpython_suite.py [--modules NAME ...]`."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from comparing import Kept, Suite, compare

KEPT = [
    Kept(
        "test_set_task_factory*",
        "TaskFactory object at 0x[0-9a-f]+> is not None$",
        "asserts that a new loop has no task factory; a governed one has ours",
    ),
    Kept(
        "test_eager_task_factory_set",
        "TaskFactory object at 0x[0-9a-f]+> is not <function create_eager_task_factory",
        "asserts that a loop's task factory is the one that was set; ours stands before it",
    ),
    Kept(
        "test_ensure_future_task_awaitable",
        "<governed coroutine object .*> is not an instance of <class 'coroutine'>$",
        "asserts that task.get_coro() is a types.CoroutineType; it is a GovernedCoroutine",
    ),
    # There is one referrer, as there should be: the coroutine itself.
    Kept(
        "test_exception_refcycles_*",
        r"^- \[<coroutine object [^,\n]*>\]$",
        "takes task.get_coro() for the object that refers to the frame's locals; the coroutine inside does",
    ),
]
"""Tests that detect governing itself. None is about cancellation, order or exceptions."""

WITHOUT_TASKS = {"test_protocols", "test_tools", "test_transports", "test_windows_events", "test_windows_utils"}
"""Modules that run no task on this platform."""


def modules() -> list[str]:
    """Return the names of the test modules that this interpreter has."""
    try:
        package = importlib.import_module("test.test_asyncio")
    except ImportError:
        sys.exit(f"{sys.executable} comes without its test suite; Debian has it as libpython3.X-testsuite")
    return sorted(path.stem for path in Path(package.__path__[0]).glob("test_*.py"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", nargs="*", metavar="NAME")
    suite = Suite(
        name=f"test_asyncio of CPython {sys.version.split()[0]}",
        script=Path(__file__).with_name("run_unittest.py"),
        modules=modules(),
        kept=KEPT,
        without_tasks=WITHOUT_TASKS,
    )
    compare(suite, parser.parse_args().modules)
