"""The CPU timer: what it reads, what it costs, and the clocks of other platforms through a fake of their interface."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from asyncio_pulse.lowlevel import create_cpu_timer

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "src" / "asyncio_pulse" / "_native"
FAKES = HERE.parent / "native" / "fakes"


def test_it_reads_the_cpu_time_of_the_thread() -> None:
    timer = create_cpu_timer()
    before, others_before = timer.thread_cpu_time_ns(), time.thread_time_ns()
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
    elapsed, other = timer.thread_cpu_time_ns() - before, time.thread_time_ns() - others_before
    assert 0.9 < elapsed / other < 1.1


def test_sleep_takes_no_cpu_time() -> None:
    timer = create_cpu_timer()
    before = timer.thread_cpu_time_ns()
    time.sleep(0.05)
    assert timer.thread_cpu_time_ns() - before < 25_000_000


def test_each_thread_has_its_own() -> None:
    timer = create_cpu_timer()
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
    readings: list[int] = []
    thread = threading.Thread(target=lambda: readings.append(timer.thread_cpu_time_ns()))
    thread.start()
    thread.join()
    assert readings[0] < timer.thread_cpu_time_ns()


def test_the_cost_of_a_reading_is_taken_out() -> None:
    timer = create_cpu_timer()
    assert timer.overhead_ns > 0
    assert timer.calibrate() == timer.overhead_ns
    now = timer.thread_cpu_time_ns()
    assert timer.elapsed_ns(now + 10**12) == 0
    end = time.thread_time() + 0.005
    while time.thread_time() < end:
        pass
    elapsed = timer.elapsed_ns(now)
    assert 0 < elapsed <= timer.thread_cpu_time_ns() - now - timer.overhead_ns


def test_bad_input_is_named() -> None:
    with pytest.raises(TypeError):
        create_cpu_timer().elapsed_ns("now")  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        create_cpu_timer().elapsed_ns(-1)


@pytest.mark.skipif(sys.platform != "linux", reason="the platform's own name is tested where CI runs")
def test_it_tells_its_platform() -> None:
    assert create_cpu_timer().platform_name == "linux"


@pytest.mark.parametrize(
    ("platform", "defines"),
    [("macos", ["-D__APPLE__"]), ("windows", ["-D_WIN32"]), ("fallback", [])],
)
def test_clocks_of_other_platforms_read_their_interface_right(
    platform: str, defines: list[str], tmp_path: Path
) -> None:
    """GIVEN the system interface of another platform, faked; WHEN its clock is read; THEN it adds up what that tells."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    program = tmp_path / platform
    sources = [str(FAKES / f"check_{platform}.c"), str(NATIVE / "base" / "thread_clock.c")]
    options = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-U__linux__", *defines, f"-I{FAKES}", f"-I{NATIVE}"]
    subprocess.run(["gcc", *options, *sources, "-o", str(program)], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{platform}\n"), done.stderr
