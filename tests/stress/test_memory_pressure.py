"""Fifteen hundred tasks under memory pressure: refused by the system, and in a control group that is always full."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import UNDER_ASAN
from tests.stress.scripts import run_script

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or UNDER_ASAN, reason="limits of Linux; the address sanitizer reserves terabytes"
)

CONTROLLER = Path("/sys/fs/cgroup/memory")


def test_tasks_that_are_refused_memory_end_and_are_counted() -> None:
    run_script("memory_pressure")


@pytest.fixture
def group() -> Iterator[Path]:
    """Make a memory control group inside that of this process."""
    own = next(
        (line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if ":memory:" in line), ""
    )
    path = CONTROLLER / own.lstrip("/") / f"pulse-stress-{os.getpid()}"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no memory control group can be made here: {error}")
    yield path
    path.rmdir()


def test_tasks_whose_memory_is_reclaimed_all_the_time_end_and_are_counted(group: Path) -> None:
    run_script("memory_pressure", group)
