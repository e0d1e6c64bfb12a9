"""The `asyncio-pulse` command: what it refuses and how, and what it says about itself."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.running import PROGRAMS, PULSE, environment, run, run_governed


def test_alone_it_explains_itself() -> None:
    ending = run(PULSE)
    assert (ending.code, ending.stdout) == (2, "")
    for command in ("run", "diagnose", "demo", "doctor"):
        assert f"\n  {command} " in ending.stderr + ending.report


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["diagnose", "--help"], ["doctor", "--help"]])
def test_help_is_on_stdout(arguments: list[str]) -> None:
    ending = run([*PULSE, *arguments])
    assert (ending.code, ending.stderr + ending.report) == (0, "")
    assert ending.stdout.startswith("usage: asyncio-pulse")
    assert max(map(len, ending.stdout.splitlines())) <= 80


def test_its_version_is_that_of_the_distribution() -> None:
    assert run([*PULSE, "--version"]).stdout == importlib.metadata.version("asyncio-pulse") + "\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["walk"], "invalid choice: 'walk'"),
        (["--walk"], "--walk"),
        (["run"], "run needs a program"),
        (["run", "--json", "report.json"], "run needs a program"),
        (["run", "--walk", "burns.py"], "unrecognized arguments: --walk"),
        (["run", "--js", "report.json", "burns.py"], "unrecognized arguments: --js"),
        (["run", "missing.py"], "no script 'missing.py'"),
        (["run", "."], "'.' has no __main__.py"),
        (["run", "-m"], "-m needs the name of a module"),
        (["run", "-m", "missing"], "no module 'missing'"),
        (["run", "-m", "greeting.missing"], "no module 'greeting.missing'"),
        (["run", "-m", "burns.missing"], "no module 'burns.missing'"),
        (["run", "-m", "..greeting"], "no module '..greeting'"),
        (["run", "-m", "greeting."], "no module 'greeting.'"),
        (["run", "-m", "email"], "package 'email' has no __main__"),
        (["run", "-m", "email.mime"], "package 'email.mime' has no __main__"),
        (["run", "--json", "missing/report.json", "burns.py"], "create it first"),
        (["run", "--json", ".", "burns.py"], "'.' is a directory"),
        (["run", "--json"], "--json: expected one argument"),
        (["run", "--worst", "many", "burns.py"], "'many' is not a number"),
        (["run", "--worst", "-1", "burns.py"], "--worst"),
        (["run", "--worst=-1", "burns.py"], "'-1' is not a number"),
        (["run", "--config", "missing.toml", "burns.py"], "missing.toml"),
        (["run", "--config", "burns.py", "burns.py"], "burns.py"),
        (["doctor", "more"], "unrecognized arguments: more"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_one_line_and_no_program_runs(arguments: list[str], words: str) -> None:
    ending = run([*PULSE, *arguments])
    assert (ending.code, ending.stdout, ending.stderr) == (2, "", "")
    assert ending.report.count("\n") == 1
    assert ending.report.startswith("asyncio-pulse: ")
    assert words in ending.report


def test_every_fault_of_a_configuration_is_named_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('poll_budget_us = "much"\nmax_groups = 0\nunknown = 1\n')
    ending = run([*PULSE, "run", "--config", path, "burns.py"])
    assert (ending.code, ending.stdout, ending.stderr) == (2, "", "")
    assert ending.report.count("\n") == 1
    for name in ("poll_budget_us", "max_groups", "unknown"):
        assert name in ending.report


def test_files_without_permission(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.touch(0o000)
    if os.access(script, os.R_OK):
        pytest.skip("this user may read and write everything")
    assert "cannot read the script" in run([*PULSE, "run", script]).report
    tmp_path.chmod(0o500)
    assert "cannot be written" in run([*PULSE, "run", "--json", tmp_path / "report.json", "burns.py"]).report


@pytest.mark.parametrize("flag", ["-E", "-I", "-S"])
def test_a_python_that_would_not_see_us_is_refused(flag: str, tmp_path: Path) -> None:
    where = f"import sys; sys.path[:] = {sys.path!r}; from asyncio_pulse.cli import main; sys.exit(main(sys.argv[1:]))"
    ending = run([sys.executable, flag, "-c", where, "run", "burns.py"])
    assert (ending.code, ending.stdout) == (2, "")
    assert "leave them out" in ending.report


def test_doctor_knows_this_installation() -> None:
    ending = run([*PULSE, "doctor"])
    assert (ending.code, ending.stderr, ending.report) == (0, "", "")
    version = ".".join(map(str, sys.version_info[:3]))
    for words in (
        importlib.metadata.version("asyncio-pulse"),
        version,
        sys.executable,
        f"uvloop          {importlib.metadata.version('uvloop')}",
        "ns a reading",
        "govern asyncio's loops",
        "not in this version\n",
    ):
        assert words in ending.stdout


def test_doctor_knows_the_configuration_that_a_program_here_would_have(tmp_path: Path) -> None:
    path = tmp_path / "pulse.toml"
    path.write_text('profile = "permissive"\n')
    for arguments in ([], ["--config", path]):
        variables = environment(ASYNCIO_PULSE_MODE="observe")
        ending = run([*PULSE, "doctor", *arguments], env=variables, cwd=PROGRAMS if arguments else tmp_path)
        assert "  profile         permissive\n" in ending.stdout
        assert "  mode            observe (environment ASYNCIO_PULSE_MODE)\n" in ending.stdout
        unavailable = ending.stdout.partition("not available here\n")[2].partition("\n\n")[0]
        assert "  tier Yield: mode observe" in unavailable
    path.write_text("max_groups = 0\n")
    ending = run([*PULSE, "doctor", "--config", path])
    assert ending.code == 0
    assert f"  the configuration: {path}: " in ending.stdout


def test_doctor_says_why_not(tmp_path: Path) -> None:
    variables = environment(ASYNCIO_PULSE_CLOCK="monotonic")
    ending = run([*PULSE, "doctor"], env=variables)
    unavailable = ending.stdout.partition("not available here\n")[2].partition("\n\n")[0]
    assert "the fastest clock: ASYNCIO_PULSE_CLOCK=monotonic" in unavailable


def test_quiet_leaves_the_json_report_alone(tmp_path: Path) -> None:
    ending = run_governed(tmp_path, "--quiet", "burns.py")
    assert ending.report == ""
    assert ending.groups()["heavy"]["polls"] == 2


@pytest.mark.parametrize(("options", "count"), [(["--worst", "0"], 0), (["--worst=1"], 1), ([], 1)])
def test_so_many_worst_polls_are_shown(options: list[str], count: int, tmp_path: Path) -> None:
    ending = run_governed(tmp_path, *options, "burns.py")
    worst_polls = ending.report.partition("\nworst polls\n")[2].partition("\n\n")[0]
    assert worst_polls.count(" 1. ") == count
    assert "\n 2. " not in worst_polls or options == []


def test_a_configuration_is_in_force(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("poll_budget_us = 10_000_000\nslow_poll_threshold_ms = 10_000\n")
    ending = run_governed(tmp_path, "--config", path, "burns.py")
    heavy = ending.groups()["heavy"]
    assert (heavy["slow_polls"], heavy["violations"]) == (0, 0)
    heavy = run_governed(tmp_path, "burns.py").groups()["heavy"]
    assert (heavy["slow_polls"], heavy["violations"]) == (1, 1)


@pytest.mark.timing  # one poll is sampled, and a pause of the machine is a part of it
def test_the_report_names_the_function_and_the_line_that_held_the_loop(tmp_path: Path) -> None:
    ending = run_governed(tmp_path, "burns.py")
    source = (PROGRAMS / "burns.py").read_text().splitlines()
    assert ending.document is not None
    worst = ending.document["processes"][0]["worst_polls"][0]
    assert (worst["group"], worst["task"], worst["function"]) == ("heavy", "the guilty one", "crunch")
    assert worst["filename"] == str(PROGRAMS / "burns.py")
    assert worst["sampled"] is True
    first, last = (number for number, line in enumerate(source, 1) if "while time" in line or "the culprit" in line)
    assert first <= worst["line"] <= last
    assert [frame["function"] for frame in worst["stack"]][:2] == ["crunch", "heavy"]
    assert worst["cpu_ns"] >= 0.9 * 600e6
    assert worst["wall_ns"] >= worst["cpu_ns"] * 0.99
    assert f" in crunch, burns.py:{worst['line']}\n" in ending.report
    assert "group heavy, task the guilty one" in ending.report
    groups = ending.groups()
    assert {name: groups[name]["polls"] for name in ("heavy", "light", "main")} == {"heavy": 2, "light": 21, "main": 2}
    assert groups["heavy"]["slow_polls"] == 1
    assert groups["heavy"]["max_ns"] == worst["wall_ns"]
    assert max(map(len, ending.report.splitlines())) < 80


def test_the_report_names_who_came_above_monitor_and_why(tmp_path: Path) -> None:
    ending = run_governed(tmp_path, "burns.py", env=environment(ASYNCIO_PULSE_MODE="observe"))
    assert ending.document is not None
    process = ending.document["processes"][0]
    assert [loop["mode"] for loop in process["loop_tiers"]] == ["observe"]
    [change] = process["tier_changes"]
    assert (change["account"], change["name"], change["before"], change["after"]) == ("task", "heavy", 0, 1)
    assert change["cpu_ns"] == process["worst_polls"][0]["cpu_ns"]
    _, _, changes = ending.report.partition("\nchanges of tier, newest first\n")
    assert " task heavy: Monitor to Warn (only observed)\n" in changes
    assert " ms of CPU beyond the budget within 1000 ms (limit 50)\n" in changes
    assert "\nmode observe\n" in ending.report


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    ending = run([*PULSE, "run", "--quiet", "--json", "/dev/stdout", "burns.py"])
    assert json.loads(ending.stdout)["schema"] == "asyncio-pulse/report"
    assert os.path.exists("/dev/stdout")
    assert not os.path.isfile("/dev/null")


def test_a_report_that_cannot_be_written_changes_no_exit_code(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    directory = tmp_path / "reports"
    directory.mkdir()
    program.write_text("import asyncio, os, sys\nos.rmdir(sys.argv[1])\nasyncio.run(asyncio.sleep(0))\nsys.exit(3)\n")
    path = directory / "report.json"
    ending = run([*PULSE, "run", "--json", path, program, directory])
    assert (ending.code, ending.stdout, ending.stderr) == (3, "", "")
    assert ending.report.splitlines()[-1] == f"asyncio-pulse: cannot write {path}: No such file or directory"


def test_a_closed_stderr_changes_nothing(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import asyncio, os, sys\nasyncio.run(asyncio.sleep(0))\nos.close(2)\nsys.exit(3)\n")
    ending = run_governed(tmp_path, program)
    assert (ending.code, ending.stdout, ending.stderr, ending.report) == (3, "", "", "")
    assert "sleep" in ending.groups()


def test_a_program_without_our_package_runs_ungoverned(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\nsys.modules['asyncio_pulse'] = None\n"
        "import asyncio\nasyncio.run(asyncio.sleep(0))\nasyncio.run(asyncio.sleep(0, print('ran')))\nsys.exit(3)\n"
    )
    ending = run([*PULSE, "run", program])
    assert (ending.code, ending.stdout, ending.stderr) == (3, "ran\n", "")
    assert ending.report.startswith("asyncio-pulse: this process is not governed: ")
    assert ending.report.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
def test_a_terminal_gets_colours_if_rich_is_there() -> None:
    pytest.importorskip("rich")
    controller, terminal = pty.openpty()
    variables = environment(TERM="xterm-256color", COLUMNS="80")
    command = [*PULSE, "run", "burns.py"]
    with subprocess.Popen(command, cwd=PROGRAMS, env=variables, stderr=terminal, stdout=terminal) as process:
        os.close(terminal)
        content = b""
        while select.select([controller], [], [], 30)[0]:
            try:
                content += os.read(controller, 65536)
            except OSError:  # Linux's way to say that nobody has the terminal open
                break
    os.close(controller)
    assert process.returncode == 0
    assert b"\x1b[1masyncio-pulse: 1 process, 1 event loop\x1b[0m" in content
    assert b"in crunch, burns.py:" in content


def test_where_a_process_cannot_become_the_program_the_command_waits_for_it(tmp_path: Path) -> None:
    # The real asyncio is imported first: that of Windows cannot be, here.
    code = (
        "import sys, asyncio_pulse.cli as cli, asyncio_pulse.launch.delivery\n"
        "sys.platform = 'win32'\nsys.exit(cli.main(sys.argv[1:]))\n"
    )
    path = tmp_path / "report.json"
    ending = run([sys.executable, "-c", code, "run", "--json", path, "exits.py", "integer"], json_path=path)
    assert (ending.code, ending.stdout, ending.stderr) == (3, "atexit ran\n", "")
    assert ending.report.startswith("asyncio-pulse: 1 process, 1 event loop\n")
    assert "main" in ending.groups()
