"""SIGHUP makes a program under `asyncio-pulse run --config FILE` read the file again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.running import PULSE, environment, started

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="signals"),
    pytest.mark.parametrize("loop", ["asyncio", "uvloop"]),
]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "pulse.toml"
    path.write_text("max_groups = 11\n")
    return path


@contextmanager
def reconfigured(loop: str, settings: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start the program, and wait until both of its loops have said what holds."""
    pytest.importorskip("uvloop")
    command = [*PULSE, "run", "--config", settings, "reconfigured.py", loop, *arguments]
    with started(command, env=environment(ASYNCIO_PULSE_MODE="")) as process:
        assert lines(process, 2) == {"main 11\n", "thread 11\n"}
        yield process


def lines(process: subprocess.Popen[str], count: int) -> set[str]:
    assert process.stdout is not None
    return {process.stdout.readline() for _ in range(count)}


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=20)
    return process.returncode, stdout, stderr


def test_every_loop_of_the_process_gets_what_the_file_says_now(loop: str, settings: Path) -> None:
    with reconfigured(loop, settings, "default") as process:
        for number in (12, 13):
            settings.write_text(f"max_groups = {number}\n")
            process.send_signal(signal.SIGHUP)
            assert lines(process, 2) == {f"main {number}\n", f"thread {number}\n"}
        code, stdout, stderr = end(process)
    assert (code, stdout) == (-signal.SIGTERM, "")
    assert "configuration not changed" not in stderr


def test_a_bad_file_is_reported_once_and_changes_nothing(loop: str, settings: Path) -> None:
    with reconfigured(loop, settings, "default") as process:
        settings.write_text("max_groups = 12\naudit_size = 1\n")
        process.send_signal(signal.SIGHUP)
        assert process.stderr is not None
        complaint = process.stderr.readline()
        assert complaint.startswith(f"asyncio-pulse: configuration not changed: {settings}: invalid configuration: ")
        assert "audit_size must be a whole number from 16 to 1048576, got 1" in complaint
        settings.write_text("max_groups = 13\n")
        process.send_signal(signal.SIGHUP)
        # Not 12: of the bad file nothing was taken.
        assert lines(process, 2) == {"main 13\n", "thread 13\n"}
        _, stdout, stderr = end(process)
    assert stdout == ""
    assert "configuration not changed" not in stderr


@pytest.mark.parametrize("handler", ["before", "loop"])
def test_a_program_keeps_its_own_handler(handler: str, loop: str, settings: Path) -> None:
    with reconfigured(loop, settings, handler) as process:
        settings.write_text("max_groups = 12\n")
        process.send_signal(signal.SIGHUP)
        assert lines(process, 1) == {"its own SIGHUP\n"}
        process.send_signal(signal.SIGUSR1)
        assert lines(process, 1) == {"asked 11\n"}


def test_a_program_goes_on_ignoring_it(loop: str, settings: Path) -> None:
    with reconfigured(loop, settings, "ignore") as process:
        settings.write_text("max_groups = 12\n")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGUSR1)
        assert lines(process, 1) == {"asked 11\n"}


def test_a_program_ends_with_its_terminal(loop: str, settings: Path) -> None:
    terminal, program_side = os.openpty()
    try:
        with reconfigured(loop, settings, "terminal", os.ttyname(program_side)) as process:
            settings.write_text("max_groups = 12\n")
            # As long as the terminal is there the signal comes from somebody, and means the file.
            process.send_signal(signal.SIGHUP)
            assert lines(process, 2) == {"main 12\n", "thread 12\n"}
            os.close(terminal)
            terminal = -1
            stdout, stderr = process.communicate(timeout=20)
        assert (process.returncode, stdout) == (-signal.SIGHUP, "")
        assert stderr.count("asyncio-pulse: 1 process, 2 event loops\n") == 1
    finally:
        os.close(program_side)
        if terminal >= 0:
            os.close(terminal)
