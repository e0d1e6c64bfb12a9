"""A program under `asyncio-pulse run` cannot be told from itself under plain Python, and its tasks are counted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.running import PROGRAMS, PULSE, end_of, environment, run, run_governed, run_plain, started, untraced

WAYS_TO_RUN = [
    "run",
    "debug",
    "runner",
    "uvloop run",
    "uvloop policy",
    "uvloop loop",
    "run_until_complete",
    "own class",
    "thread",
    "reloaded",
]
WAYS_TO_EXIT = [
    "integer",
    "text",
    "none",
    "large",
    "error",
    "group",
    "interrupt",
    "cancelled",
    "forgotten",
]


@pytest.mark.parametrize("way", WAYS_TO_EXIT)
def test_every_way_to_end_is_that_of_plain_python(way: str, tmp_path: Path) -> None:
    governed = run_governed(tmp_path, "exits.py", way)
    assert governed.own == run_plain("exits.py", way).own
    assert governed.report.startswith("asyncio-pulse: 1 process, 1 event loop\n")
    assert "main" in governed.groups()


def test_a_program_that_leaves_at_once_has_its_exit_code_and_no_report(tmp_path: Path) -> None:
    governed = run_governed(tmp_path, "exits.py", "at once")
    assert governed == run_plain("exits.py", "at once")
    assert governed.code == 5


@pytest.mark.parametrize("way", WAYS_TO_RUN)
def test_a_loop_is_governed_however_it_is_started(way: str, tmp_path: Path) -> None:
    if "uvloop" in way:
        pytest.importorskip("uvloop")
    governed = run_governed(tmp_path, "loops.py", way)
    assert governed.own == run_plain("loops.py", way).own
    tick = governed.groups()["tick"]
    assert (tick["tasks"], tick["tasks_alive"], tick["polls"]) == (10, 0, 10 * 5)
    assert governed.document is not None
    assert governed.document["processes"][0]["loops"] == 1


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_task_factory_of_the_program_stays_its_own(loop: str, tmp_path: Path) -> None:
    pytest.importorskip("uvloop")
    governed = run_governed(tmp_path, "task_factories.py", loop)
    assert governed.own == run_plain("task_factories.py", loop).own
    batches = 3 if sys.version_info >= (3, 12) and loop == "asyncio" else 2
    tick = governed.groups()["tick"]
    assert (tick["tasks"], tick["polls"]) == (10 * batches, 10 * 5 * batches)


@pytest.mark.parametrize(
    "program",
    [
        ["arguments.py", "-m", "x", "--json", "y", "--", "-"],
        ["-m", "greeting", "--worst", "1"],
        ["-m", "greeting.inner"],
        ["-mgreeting"],
        ["greeting", "directory"],
        [PROGRAMS / "arguments.py", "absolute"],
    ],
    ids=lambda program: str(program[0]).replace(str(PROGRAMS), ""),
)
def test_the_program_sees_what_plain_python_shows_it(program: list[str], tmp_path: Path) -> None:
    governed = run_governed(tmp_path, *program, input="from standard input")
    assert governed.own == run_plain(*program, input="from standard input").own
    assert governed.code == 0
    assert "main" in governed.groups()


def test_a_script_in_another_directory_and_flags_of_the_interpreter(tmp_path: Path) -> None:
    script = os.path.relpath(PROGRAMS / "arguments.py", tmp_path)
    flags = ["-O", "-Wignore::ImportWarning", "-X", "utf8", "-q"]
    governed = run([sys.executable, *flags, "-m", "asyncio_pulse", "run", script], cwd=tmp_path)
    assert governed.own == run_plain(*flags, script, cwd=tmp_path).own
    assert "optimize=1" in governed.stdout


def test_a_zip_archive_can_be_run(tmp_path: Path) -> None:
    import zipapp

    archive = tmp_path / "greeting.pyz"
    zipapp.create_archive(PROGRAMS / "greeting", archive)
    governed = run_governed(tmp_path, archive)
    assert governed.own == run_plain(archive).own
    assert "main" in governed.groups()


@pytest.mark.parametrize(
    "first", ["import asyncio_pulse.lowlevel", "import asyncio_pulse._core", "import asyncio_pulse.integrations.asgi"]
)
def test_a_program_may_import_us_before_asyncio(first: str, tmp_path: Path) -> None:
    program = f"{first}\nimport asyncio\nasyncio.run(asyncio.sleep(0.01))\n"
    path = tmp_path / "report.json"
    command = [sys.executable, "-m", "asyncio_pulse", "run", "--quiet", "--json", str(path), "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert json.loads(path.read_text())["processes"][0]["loop_metrics"]


def test_a_process_that_never_imports_asyncio_does_not_import_it_because_of_us(tmp_path: Path) -> None:
    governed = run_governed(tmp_path, "without_loop.py")
    assert governed.own == run_plain("without_loop.py").own
    assert governed.report == "asyncio-pulse: no event loop ran, so there is nothing to report\n"
    assert governed.document == {"schema": "asyncio-pulse/report", "version": 1, "processes": []}


def test_a_program_that_empties_its_environment_is_governed_nevertheless(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import os\nos.environ.clear()\nimport asyncio\nasyncio.run(asyncio.sleep(0))")
    assert "sleep" in run_governed(tmp_path, program).groups()


@pytest.mark.parametrize("name", ["asyncio.base_events", "uvloop"])
def test_who_looks_at_the_modules_of_loops_sees_their_own_loaders(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    program = tmp_path / "program.py"
    program.write_text(
        "import importlib, importlib.util, sys\n"
        f"spec = importlib.util.find_spec({name!r})\n"
        "print(spec.name, spec.origin, len(spec.loader.get_source(spec.name)))\n"
        f"module = importlib.import_module({name!r})\n"
        "print(type(module.__loader__), type(module.__spec__.loader), module.__spec__.origin)\n"
        "print(type(importlib.reload(module).__loader__))\n"
    )
    assert run_governed(tmp_path, program).own == run_plain(program).own


@pytest.mark.parametrize("content", ["print('mine', __name__)", "raise ValueError('mine')", "import nonsense"])
def test_the_sitecustomize_of_the_user_still_runs(content: str, tmp_path: Path) -> None:
    # The command itself is a Python process too, which runs it once more.
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nif 'asyncio_pulse' not in sys.orig_argv: {content}")
    program = tmp_path / "program.py"
    program.write_text("import asyncio, sys\nprint(sys.modules.get('sitecustomize'))\nasyncio.run(asyncio.sleep(0))")
    variables = environment(PYTHONPATH=str(tmp_path))
    governed = run_governed(tmp_path, program, env=variables)
    plain = run_plain(program, env=variables)
    assert governed.own == plain.own
    assert "mine" in plain.stdout + plain.stderr or "nonsense" in plain.stderr
    assert "sleep" in governed.groups()


def test_a_sitecustomize_that_imports_asyncio_itself_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import asyncio")
    governed = run_governed(tmp_path, "loops.py", "run", env=environment(PYTHONPATH=str(tmp_path)))
    assert governed.groups()["tick"]["polls"] == 50


def test_loops_of_an_asyncio_that_was_imported_before_us_are_governed(tmp_path: Path) -> None:
    # A .pth file may do that; here the program takes the part of the interpreter's start.
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, os, sys\n"
        "from asyncio_pulse.launch.command import AUTOSTART_DIRECTORY\n"
        "from asyncio_pulse.launch.options import RunOptions\n"
        "options = RunOptions(main_pid=os.getpid(), spool_directory=sys.argv[1], json_path=sys.argv[2])\n"
        "os.environ.update(options.to_environment())\n"
        "sys.path.append(AUTOSTART_DIRECTORY)\n"
        "import asyncio_pulse_autostart\n"
        "asyncio_pulse_autostart.start()\n"
        "asyncio.run(asyncio.sleep(0))\n"
    )
    json_path = tmp_path / "report.json"
    ending = run([sys.executable, program, tmp_path / "spool", json_path], json_path=json_path)
    assert "sleep" in ending.groups()


def test_the_installed_command_finds_a_module_of_the_working_directory(tmp_path: Path) -> None:
    command = tmp_path / "asyncio-pulse"
    command.write_text("import sys\nfrom asyncio_pulse.cli import main\nsys.exit(main())\n")
    governed = run([sys.executable, command, "run", "-m", "greeting"])
    assert governed.own == run_plain("-m", "greeting").own
    assert run([sys.executable, command, "run", "-m", "__main__"]).code == 2


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("handler", ["default", "loop", "own", "before"])
def test_a_signal_ends_the_program_as_without_us(
    handler: str, number: signal.Signals, loop: str, tmp_path: Path
) -> None:
    pytest.importorskip("uvloop")
    endings = []
    json_path = tmp_path / "report.json"
    for command in ([sys.executable], [*PULSE, "run", "--json", str(json_path)]):
        with started([*command, "waits.py", loop, handler], env=untraced()) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=20)
        endings.append(end_of(process.returncode, stdout, stderr, json_path))
    plain, governed = endings
    assert (governed.code, governed.stdout) == (plain.code, plain.stdout)
    assert governed.stderr.splitlines()[-1:] == plain.stderr.splitlines()[-1:]
    # A hang-up with its default action kills as it always did.
    if number == signal.SIGHUP:
        assert (governed.code, governed.report) == (-signal.SIGHUP, "")
    else:
        assert governed.report.count("asyncio-pulse: 1 process, 1 event loop\n") == 1
        assert any("main" in name or "wrapper" in name for name in governed.groups())


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_signal_that_comes_just_before_the_loop_waits_ends_the_program(tmp_path: Path) -> None:
    json_path = tmp_path / "report.json"
    with started([*PULSE, "run", "--json", str(json_path), "waits_after_a_signal.py"]) as process:
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM
    assert "main" in end_of(process.returncode, stdout, stderr, json_path).groups()


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_report_while_running_comes_on_request(loop: str) -> None:
    pytest.importorskip("uvloop")
    with started([*PULSE, "run", "waits.py", loop, "default"]) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR2)
        assert process.stderr.readline() == "asyncio-pulse: 1 process, 1 event loop\n"
        process.send_signal(signal.SIGTERM)
        stderr = process.communicate(timeout=20)[1]
    assert stderr.count("asyncio-pulse: 1 process, 1 event loop\n") == 1
    assert process.returncode == -signal.SIGTERM


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(("handler", "words"), [("before", "its own SIGUSR2\n"), ("own", "its own SIGUSR2\n")])
def test_a_program_keeps_its_own_handler_of_the_request_signal(handler: str, words: str, loop: str) -> None:
    pytest.importorskip("uvloop")
    variables = environment(PYTHONUNBUFFERED="1")
    with started([*PULSE, "run", "waits.py", loop, handler], env=variables) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR2)
        assert process.stdout.readline() == words
        process.send_signal(signal.SIGTERM)
        stderr = process.communicate(timeout=20)[1]
    assert stderr.count("asyncio-pulse: ") == 1


@pytest.mark.skipif(sys.version_info < (3, 13), reason="needs _interpreters")
def test_a_sub_interpreter_is_left_alone(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import _interpreters, asyncio\n"
        "async def main(): pass\n"
        "asyncio.run(main())\n"
        "number = _interpreters.create()\n"
        "print(_interpreters.exec(number, 'import sys; print(len(sys.meta_path))'))\n"
        "_interpreters.destroy(number)\n"
    )
    governed = run_governed(tmp_path, program)
    assert governed.own == run_plain(program).own
    assert governed.report.count("asyncio-pulse: 1 process, 1 event loop\n") == 1


def test_the_descriptor_for_signals_goes_back_with_the_last_loop(tmp_path: Path) -> None:
    script = tmp_path / "descriptors.py"
    script.write_text("""
import asyncio
import signal

def current():
    found = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(found)
    return found

async def main():
    return current()

first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
assert current() != -1
first.close()
first.close()
assert current() != -1, "another loop waits"
second.close()
assert current() == -1
assert asyncio.run(main()) != -1, "the next loop is woken again"
assert current() == -1
import socket
ours, theirs = socket.socketpair()
theirs.setblocking(False)
loop = asyncio.new_event_loop()
signal.set_wakeup_fd(theirs.fileno())
loop.close()
assert current() == theirs.fileno(), "the program has set its own meanwhile"
print("ok")
""")
    done = run([*PULSE, "run", "--quiet", script])
    assert done.own == (0, "ok\n", "")
