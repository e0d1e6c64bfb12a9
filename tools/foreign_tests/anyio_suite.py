"""Compare anyio's own tests on asyncio and uvloop, plain and governed: `python anyio_suite.py SOURCE [--modules NAME ...]`.

SOURCE is an unpacked source distribution of the anyio that is installed, with the packages of its group `test`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from pathlib import Path

from comparing import Kept, Suite, compare

KEPT: list[Kept] = []
"""Tests that see the difference that governing is. None is about cancellation, order or exceptions."""

ARGUMENTS = ["-m", "not network", "-k", "not trio"]
"""Without the tests that need the Internet, and those on the loop of another library."""

WITHOUT_TASKS = {"tests/test_all_attributes.py", "tests/test_lazyimport.py", "tests/test_typedattr.py"}
"""Modules that run no task."""


def modules(source: Path) -> list[str]:
    """Name the test modules, relative to the source."""
    return sorted(str(path.relative_to(source)) for path in source.glob("tests/**/test_*.py"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, metavar="SOURCE")
    parser.add_argument("--modules", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    suite = Suite(
        name=f"anyio {importlib.metadata.version('anyio')} on CPython {sys.version.split()[0]}",
        script=Path(__file__).with_name("run_pytest.py"),
        modules=modules(arguments.source),
        kept=KEPT,
        without_tasks=WITHOUT_TASKS,
        directory=arguments.source,
        arguments=ARGUMENTS,
    )
    compare(suite, arguments.modules)
