"""Faults under load, each in a process of its own."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stress.loops import kinds
from tests.stress.scripts import FAULTS, ROOT, SCRIPTS, run_script
from tests.support.building import compile_c
from tests.support.running import PULSE

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and forks")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("name", ["raising_loops", "failing_hooks", "signal_storm", "forking_under_load"])
def test_faults(name: str) -> None:
    run_script(name)


@pytest.mark.skipif(sys.platform != "linux", reason="a preloaded clock")
def test_a_clock_that_steps(tmp_path: Path) -> None:
    library = compile_c(tmp_path / "stepping_clock.so", SCRIPTS / "stepping_clock.c", shared=True)
    run_script("stepping_clock", LD_PRELOAD=str(library), ASYNCIO_PULSE_CLOCK="monotonic")


WAYS = {
    "returns": (0, None),
    "exits": (3, None),
    "is interrupted": (-signal.SIGINT, "KeyboardInterrupt"),
    "is terminated": (-signal.SIGTERM, None),
    "raises": (1, "LookupError: wanted"),
}


@pytest.mark.parametrize("loop", range(len(kinds())))
@pytest.mark.parametrize("way", WAYS)
def test_a_program_under_load_ends_as_it_wants_to(way: str, loop: int) -> None:
    code, last_line = WAYS[way]
    command = [sys.executable, "-X", "faulthandler", SCRIPTS / "exiting.py", way, str(loop)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (code, "ends\n"), done.stderr
    if last_line is None:
        assert not FAULTS.search(done.stderr), done.stderr
    else:
        assert done.stderr.rstrip().endswith(last_line)
        assert "Exception ignored" not in done.stderr


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk without any room left."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr}")
    try:
        filler = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            while True:
                os.write(filler, bytes(4096))
        os.close(filler)
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def run_governed(json: Path | str, prepare: Callable[[], object] | None = None, **variables: str) -> str:
    """Run the program under the command; its own output and exit are as ever, whatever becomes of the report."""
    command = [*PULSE, "run", "--json", str(json), str(SCRIPTS / "loaded.py")]
    environment = {**ENVIRONMENT, "PYTHONDONTWRITEBYTECODE": "1", **variables}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False, preexec_fn=prepare
    )
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert "asyncio-pulse: 1 process" in done.stderr
    return done.stderr


def test_a_full_disk_costs_the_file_only(full_disk: Path) -> None:
    assert "cannot write" in run_governed(full_disk / "report.json", TMPDIR=str(full_disk))
    # Half a report would be worse than none.
    assert not (full_disk / "report.json").exists() or not (full_disk / "report.json").read_text()


def test_a_full_device_costs_the_file_only() -> None:
    assert "cannot write" in run_governed("/dev/full")


def test_a_limit_of_the_size_of_files_costs_the_file_only(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))

    assert "cannot write" in run_governed(tmp_path / "report.json", limit)
