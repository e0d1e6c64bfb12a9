"""Every process of a run reports, and the main one presents them all: children, workers of servers, daemons."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.running import PROGRAMS, Ending, environment, run_governed, run_plain
from tests.support.servers import PATIENCE_S, free_port, serve, serving

pytestmark = pytest.mark.skipif(os.name != "posix", reason="fork and signals")


def by_process(ending: Ending, group: str, counter: str) -> list[int]:
    """Read a counter of a group in each section that has the group, smallest first."""
    assert ending.document is not None
    groups = [each for process in ending.document["processes"] for each in process["groups"]]
    return sorted(each[counter] for each in groups if each["name"] == group)


@pytest.mark.parametrize("way", ["fork", "spawn", "forkserver", "plain fork"])
def test_children_report_and_the_parent_without_a_loop_does_not(way: str, tmp_path: Path) -> None:
    governed = run_governed(tmp_path, "children.py", way)
    assert governed.own == run_plain("children.py", way).own
    assert governed.report.startswith("asyncio-pulse: 2 processes, 2 event loops\n")
    assert by_process(governed, "tick", "polls") == [4 + 6]


def test_a_child_forked_from_a_loop_reports_its_own_numbers_only(tmp_path: Path) -> None:
    governed, plain = run_governed(tmp_path, "children.py", "from a loop"), run_plain("children.py", "from a loop")
    assert governed.own == plain.own
    assert governed.document is not None
    parent, child = governed.document["processes"]
    assert (parent["loops"], child["loops"]) == (1, 2)
    assert [group["name"] for group in child["groups"] if "start_from_loop" in group["name"]] == []
    assert by_process(governed, "tick", "polls") == [4 + 6]


def test_a_child_that_is_forked_from_a_governed_process_and_runs_no_loop_has_no_section(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import asyncio, os\nasyncio.run(asyncio.sleep(0))\nif os.fork(): os.wait()\n")
    governed = run_governed(tmp_path, program)
    assert governed.report.startswith("asyncio-pulse: 1 process, 1 event loop\n")


def test_a_child_that_is_terminated_reports_and_has_its_exit_code(tmp_path: Path) -> None:
    governed = run_governed(tmp_path, "children.py", "terminated")
    assert governed.stdout == run_plain("children.py", "terminated").stdout == "child ended with -15\n"
    assert len(by_process(governed, "tick", "polls")) == 1


def test_a_child_of_another_directory_and_program(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    child = f"{str(PROGRAMS / 'loops.py')!r}, 'run'"
    program.write_text(f"import subprocess, sys\nsubprocess.run([sys.executable, {child}], cwd='/', check=True)")
    governed = run_governed(tmp_path, program)
    assert by_process(governed, "tick", "polls") == [50]


def test_the_processes_of_a_run_leave_no_file(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    governed = run_governed(tmp_path, "children.py", "fork", env=environment(TMPDIR=str(temporary)))
    assert by_process(governed, "tick", "polls") == [4 + 6]
    assert list(temporary.iterdir()) == []


def test_a_damaged_report_of_a_child_costs_only_itself(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, json, os\n"
        "spool = json.loads(os.environ['ASYNCIO_PULSE_RUN'])['spool_directory']\n"
        "open(os.path.join(spool, '1-1.json'), 'w').close()\n"
        "asyncio.run(asyncio.sleep(0))\n"
    )
    governed = run_governed(tmp_path, program)
    assert governed.code == 0
    assert governed.report.startswith("asyncio-pulse: the report of a child process is left out: ")
    assert "sleep" in governed.groups()


def test_a_daemon_that_outlives_the_main_process_speaks_for_itself(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    # The child begins its loop only when the directory that the main process removes last is gone.
    program.write_text(
        "import asyncio, json, os, time\n"
        "if os.fork() == 0:\n"
        "    spool = json.loads(os.environ['ASYNCIO_PULSE_RUN'])['spool_directory']\n"
        "    while os.path.exists(spool): time.sleep(0.01)\n"
        "    asyncio.run(asyncio.sleep(0))\n"
    )
    ending = run_governed(tmp_path, program)
    assert ending.report.startswith("asyncio-pulse: asyncio was imported, but no event loop")
    assert ending.report.count("asyncio-pulse: 1 process, 1 event loop\n") == 1


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_uvicorn_in_one_process(number: signal.Signals, loop: str, tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    pytest.importorskip(loop)
    port = free_port()
    server = ["-m", "uvicorn", "web:app", "--port", str(port), "--loop", loop, "--log-level", "warning"]
    ending, requests = serve(server, port, tmp_path / "report.json", number, 1)
    with serving([sys.executable, *server], port) as process:
        process.send_signal(number)
        process.communicate(timeout=PATIENCE_S)
    assert ending.code == process.returncode
    assert ending.report.count("asyncio-pulse: 1 process, 1 event loop\n") == 1
    assert ending.groups()["RequestResponseCycle.run_asgi"]["tasks"] == requests


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_uvicorn_with_two_workers(number: signal.Signals, tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    port = free_port()
    server = ["-m", "uvicorn", "web:app", "--port", str(port), "--workers", "2", "--log-level", "warning"]
    ending, requests = serve(server, port, tmp_path / "report.json", number, 2)
    with serving([sys.executable, *server], port) as process:
        process.send_signal(number)
        process.communicate(timeout=PATIENCE_S)
    assert ending.code == process.returncode
    assert ending.document is not None
    assert ending.report.count("asyncio-pulse: 2 processes, 2 event loops\n") == 1
    assert sum(by_process(ending, "RequestResponseCycle.run_asgi", "tasks")) == requests


def test_gunicorn_with_uvicorn_workers(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    pytest.importorskip("uvicorn_worker")
    port = free_port()
    server = ["-m", "gunicorn", "web:app", "-b", f"127.0.0.1:{port}", "-w", "2", "-k", "uvicorn_worker.UvicornWorker"]
    ending, requests = serve(server, port, tmp_path / "report.json", signal.SIGTERM, 2)
    assert ending.code == 0
    # Newer masters run a loop of their own beside those of the workers.
    assert by_process(ending, "LifespanOn.main", "tasks") == [2]
    assert ending.report.count("event loops\n") == 1
    assert sum(by_process(ending, "RequestResponseCycle.run_asgi", "tasks")) == requests
