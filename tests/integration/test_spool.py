"""What children leave for the main process: put together, by whoever is allowed to, and gone at the end."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import pytest

from asyncio_pulse.launch import spool, spool_directory
from asyncio_pulse.launch.spool import Spool
from asyncio_pulse.launch.spool_directory import make_spool, sweep_spools
from asyncio_pulse.metrics.model import Metrics, Report
from tests.support.running import PULSE, environment, run, run_governed, started

pytestmark = pytest.mark.skipif(os.name != "posix", reason="fork, users and signals")
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
REPORT = Report(1, ("worker",), "3.13.0", "tsc", 1, Metrics(polls=1, wall_time_ns=1), {}, (), ())
NOBODY = 65534


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def dead_pid() -> int:
    """Give the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_reports_are_put_together_as_they_come() -> None:
    directory = make_spool()
    token = spool_directory.new_token()
    most = 0
    for pid in range(100):
        Spool(directory, token).leave(dataclasses.replace(REPORT, pid=pid))
        most = max(most, len(os.listdir(directory)))
    assert most == spool.MOST_FILES
    [report], faults = Spool(directory, token).collect()
    assert faults == []
    assert (report.pid, report.processes, report.loops, report.metrics.polls) == (0, 100, 100, 100)
    assert not os.path.exists(directory)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full")
def test_a_full_disk_while_they_are_put_together_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    directory = make_spool()
    written: list[int] = []
    failures = 0

    def open_the_second_in_vain(descriptor: int, mode: str) -> IO[bytes]:
        nonlocal failures
        if mode == "wb":
            written.append(descriptor)
        if len(written) < 2:
            return open(descriptor, mode)
        failures += 1
        os.close(descriptor)
        return open("/dev/full", mode)

    with monkeypatch.context() as patched:
        patched.setattr(spool, "open", open_the_second_in_vain, raising=False)
        for _ in range(spool.MOST_FILES + 3):
            written.clear()
            Spool(directory, "t").leave(REPORT)
    assert failures == 3
    assert len(os.listdir(directory)) == spool.MOST_FILES + 3
    # There is room again.
    Spool(directory, "t").leave(REPORT)
    assert len(os.listdir(directory)) == 1
    [report], faults = Spool(directory, "t").collect()
    assert (report.processes, faults) == (spool.MOST_FILES + 4, [])


def test_children_that_end_at_once_lose_nothing() -> None:
    directory = make_spool()
    token = spool_directory.new_token()
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            for _ in range(10):
                Spool(directory, token).leave(dataclasses.replace(REPORT, pid=os.getpid()))
            os._exit(0)
        children.append(child)
    reports: list[Report] = []
    # The main process may end while they still work.
    for child in children[:4]:
        os.waitpid(child, 0)
    for child in children[4:]:
        os.waitpid(child, 0)
    found, faults = Spool(directory, token).collect()
    reports += found
    assert faults == []
    assert sum(report.processes for report in reports) == sum(report.metrics.polls for report in reports) == 80


def test_what_a_killed_child_had_in_its_hands_is_counted_once(temporary: Path) -> None:
    directory = make_spool()
    Spool(directory, "t").leave(REPORT)
    [name] = os.listdir(directory)
    claimed = f"{name}.{dead_pid()}"
    os.rename(os.path.join(directory, name), os.path.join(directory, claimed))
    Path(directory, f"1-1.draft.{dead_pid()}").write_text("half")
    reports, faults = Spool(directory, "t").collect()
    assert [report.processes for report in reports] == [1]
    assert faults == []
    assert list(temporary.iterdir()) == []


def test_a_child_that_stands_still_in_its_work_holds_the_end_up_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spool, "PATIENCE_S", 0.05)
    directory = make_spool()
    Path(directory, f"1-1.json.{os.getppid()}").write_text("{}")
    assert Spool(directory, "t").collect() == ([], [])
    assert not os.path.exists(directory)


def test_files_of_strangers_are_not_believed(tmp_path: Path) -> None:
    directory = make_spool()
    Spool(directory, "another token").leave(REPORT)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    os.symlink(secret, os.path.join(directory, "2.json"))
    os.mkfifo(os.path.join(directory, "3.json"))
    with open(os.path.join(directory, "4.json"), "wb") as stream:
        stream.truncate(spool.MOST_BYTES + 1)
    Path(directory, "5.json").write_text("[" * 100)
    Path(directory, "6.json").write_text(json.dumps({"token": "t", "document": {}}))
    reports, faults = Spool(directory, "t").collect()
    assert reports == []
    assert len(faults) == 6
    assert not any("secret" in fault for fault in faults)
    assert secret.exists()
    assert not os.path.exists(directory)


def test_a_damaged_report_does_not_keep_others_from_being_put_together() -> None:
    directory = make_spool()
    Path(directory, "0.json").write_text("half")
    for _ in range(3 * spool.MOST_FILES):
        Spool(directory, "t").leave(REPORT)
    assert len(os.listdir(directory)) <= spool.MOST_FILES + 1
    [report], [fault] = Spool(directory, "t").collect()
    assert report.processes == 3 * spool.MOST_FILES
    assert "is not JSON" in fault


def test_directories_of_the_dead_are_swept_and_no_others(temporary: Path) -> None:
    mine = make_spool()
    namespace = Path(mine).name.split("-")[3]
    dead = dead_pid()
    left = temporary / f"asyncio-pulse-{dead}-{namespace}-abc"
    kept = [
        temporary / f"asyncio-pulse-{os.getppid()}-{namespace}-abc",  # lives
        temporary / f"asyncio-pulse-{dead}-1-abc",  # of another container
        temporary / f"asyncio-pulse-{dead}-{namespace}-a c",
        temporary / "asyncio-pulse-abc",
    ]
    for directory in (left, *kept):
        directory.mkdir()
        (directory / "1-1.json").touch()
    link = temporary / f"asyncio-pulse-{dead}-{namespace}-link"
    link.symlink_to(kept[0])
    if IS_ROOT:
        foreign = temporary / f"asyncio-pulse-{dead}-{namespace}-foreign"
        foreign.mkdir()
        os.chown(foreign, NOBODY, NOBODY)
        kept.append(foreign)
    sweep_spools()
    assert not left.exists()
    assert all(directory.exists() for directory in (Path(mine), link, *kept))


def test_the_next_run_removes_what_a_killed_one_left(tmp_path: Path, temporary: Path) -> None:
    variables = environment(TMPDIR=str(temporary))
    with started([*PULSE, "run", "waits.py", "asyncio", "default"], env=variables) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert len(list(temporary.iterdir())) == 1
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(list(temporary.iterdir())) == 1
    run_governed(tmp_path, "burns.py", env=variables)
    assert list(temporary.iterdir()) == []


def test_only_roots_directory_is_open_to_others() -> None:
    mode = stat.S_IMODE(os.stat(make_spool()).st_mode)
    assert mode == (0o1777 if IS_ROOT else 0o700)


GIVES_UP_ROOT = """
import asyncio, os, sys
async def work(): await asyncio.sleep(0)
if "before" in sys.argv: asyncio.run(work())
pid = os.fork() if "child" in sys.argv else 0
if pid == 0:
    os.setgid(65534); os.setuid(65534)
    asyncio.run(work())
    sys.exit(3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.skipif(not IS_ROOT, reason="only root can give up being root")
@pytest.mark.parametrize("way", ["child", "child before", "main", "main before"])
def test_a_process_that_gave_up_root_is_in_the_report(way: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(GIVES_UP_ROOT)
    # Not below pytest's own directory, which is closed to others.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o1777)
        ending = run([*PULSE, "run", program, *way.split()], env=environment(TMPDIR=directory))
        assert ending.code == 3
        processes = 2 if way == "child before" else 1
        loops = 2 if "before" in way else 1
        assert ending.report.startswith(
            f"asyncio-pulse: {processes} process{'es' * (processes - 1)}, {loops} event loop"
        )
        assert "no report" not in ending.report
        assert "\nwork " in ending.report
        if way.startswith("child"):
            assert os.listdir(directory) == []


def test_without_a_temporary_directory_each_process_speaks_for_itself(tmp_path: Path) -> None:
    nowhere = (
        "import os, sys, tempfile\n"
        "def fail(*_, **__): raise FileNotFoundError(2, 'No usable temporary directory found')\n"
        "tempfile.mkdtemp = fail\nfrom asyncio_pulse.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    json_path = tmp_path / "report.json"
    ending = run([sys.executable, "-c", nowhere, "run", "--json", json_path, "children.py", "plain fork"], json_path)
    assert ending.code == 0
    assert ending.report.count("asyncio-pulse: 1 process, 1 event loop\n") == 2
    assert ending.document is not None


def test_a_child_of_a_killed_main_process_speaks_for_itself(tmp_path: Path, temporary: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, os, signal, time\n"
        "parent = os.getpid()\n"
        "if os.fork():\n"
        "    os.kill(parent, signal.SIGKILL)\n"
        "while os.getppid() == parent: time.sleep(0.001)\n"
        "asyncio.run(asyncio.sleep(0))\n"
    )
    ending = run([*PULSE, "run", program], env=environment(TMPDIR=str(temporary)))
    assert ending.code == -signal.SIGKILL
    assert ending.report.count("asyncio-pulse: 1 process, 1 event loop\n") == 1


@pytest.mark.skipif(sys.gettrace() is not None, reason="coverage writes a file of its own at the end")
def test_a_spool_without_room_costs_nothing_but_one_line(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    # As on a full disk: nothing can be written there any more.
    program.write_text(
        "import asyncio, json, os, resource, signal, sys\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "    asyncio.run(asyncio.sleep(0))\n"
        "    sys.exit(4)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    json_path = tmp_path / "report.json"
    ending = run([*PULSE, "run", "--quiet", "--json", json_path, program], json_path)
    assert (ending.code, ending.stderr) == (4, "")
    # An instrumented core has files of its own to write.
    [line] = [line for line in ending.report.splitlines() if not line.startswith("libgcov")]
    assert "is not in the JSON report: File too large" in line


def test_a_json_report_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import asyncio, sys\nasyncio.run(asyncio.sleep(0))\nsys.exit(3)")
    ending = run([*PULSE, "run", "--quiet", "--json", "/dev/full", program])
    assert ending.code == 3
    assert ending.report == "asyncio-pulse: cannot write /dev/full: No space left on device\n"


def test_a_json_report_into_a_pipe_without_a_reader_hangs_nobody(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    ending = run([*PULSE, "run", "--quiet", "--json", pipe, "burns.py"])
    assert ending.code == 0
    assert ending.report == f"asyncio-pulse: cannot write {pipe}: No such device or address\n"
