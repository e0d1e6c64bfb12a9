"""The watch over what a test leaves behind does find it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LEAVE_SOMETHING_BEHIND = """
import asyncio, signal, subprocess, sys, threading
import asyncio_pulse
import tests.conftest

tests.conftest.GRACE_SECONDS = 0.1
kept = []

def test_nothing(any_loop):
    any_loop.run_until_complete(asyncio.sleep(0))

def test_thread():
    kept.append(threading.Event())
    threading.Thread(target=kept[-1].wait, daemon=True).start()

def test_process():
    kept.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

def test_signal_handler():
    signal.signal(signal.SIGUSR1, lambda *_: None)

def test_governed_loop():
    kept.append(asyncio_pulse.new_event_loop())

def teardown_module():
    kept[0].set()
    kept[1].communicate()
    kept[2].close()
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("watch") / "test_left_behind.py"
    path.write_text(LEAVE_SOMETHING_BEHIND)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "tests.conftest", "-c", ROOT / "pyproject.toml", path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False).stdout


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("test_thread", "a thread outlives the test"),
        ("test_process", "a child process outlives the test"),
        ("test_signal_handler", "a signal handler outlives the test"),
        ("test_governed_loop", "a governed loop outlives the test"),
    ],
)
def test_what_stays_is_an_error(output: str, test: str, message: str) -> None:
    assert f"::{test} ERROR" in output
    assert message in output


def test_who_leaves_nothing_has_no_error(output: str) -> None:
    assert "::test_nothing[asyncio] PASSED" in output
    assert "4 errors" in output
