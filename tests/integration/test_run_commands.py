"""What a person means by `asyncio-pulse run PROGRAM`: commands, interpreters, code, and what is refused."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.running import PROGRAMS, PULSE, Ending, environment, run, run_governed, run_plain

pytestmark = pytest.mark.skipif(os.name != "posix", reason="executable scripts")
CODE = "import asyncio, sys; asyncio.run(asyncio.sleep(0)); print(sys.argv, __name__); sys.exit(3)"
DISPLACES = """
import os, sys
before = [sys.argv[1]] if len(sys.argv) == 3 else []
os.environ["PYTHONPATH"] = os.pathsep.join([*before, os.getcwd(), os.environ["PYTHONPATH"]])
os.execl(sys.executable, sys.executable, sys.argv[-1])
"""


def executable(path: Path, content: str) -> Path:
    path.write_text(content)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def with_path(*directories: Path) -> dict[str, str]:
    return environment(PATH=os.pathsep.join([*map(str, directories), os.environ["PATH"]]))


def test_code_and_standard_input_are_programs(tmp_path: Path) -> None:
    for program, given in ((["-c", CODE, "-x"], ""), ([f"-c{CODE}", "-x"], ""), (["-", "-x"], CODE)):
        governed = run_governed(tmp_path, *program, input=given)
        assert governed.own == run_plain(*program, input=given).own
        assert governed.code == 3
        assert "sleep" in governed.groups()


@pytest.mark.parametrize("program", [["arguments.py", "--json"], ["-m", "greeting"], ["-c", CODE]])
def test_two_dashes_say_where_the_program_begins(program: list[str], tmp_path: Path) -> None:
    governed = run_governed(tmp_path, "--", *program)
    assert governed.own == run_plain(*program).own
    assert governed.document is not None
    assert len(governed.document["processes"]) == 1


def test_an_interpreter_is_given_its_own_options(tmp_path: Path) -> None:
    name = os.path.basename(sys.executable)
    for interpreter in (sys.executable, name):
        program = ["-O", "-X", "utf8", "-W", "ignore::ImportWarning", "arguments.py", "-E"]
        governed = run_governed(tmp_path, interpreter, *program, env=with_path(Path(sys.executable).parent))
        assert governed.own == run_plain(*program).own
        assert "optimize=1" in governed.stdout
        assert "main" in governed.groups()


@pytest.mark.parametrize(
    "first_line",
    [
        f"#!{sys.executable}",
        f"#!{sys.executable} -O",
        "#!/usr/bin/env python3",
        "#!/usr/bin/env -S python3 -O",
        f"""#!/bin/sh\n'''exec' "{sys.executable}" "$0" "$@"\n' '''""",
        f"#!/bin/sh\n'''exec' {sys.executable} \"$0\" \"$@\"\n' '''",
    ],
)
def test_a_command_is_the_python_script_that_it_is_on_the_path(first_line: str, tmp_path: Path) -> None:
    source = "import asyncio, sys\nasyncio.run(asyncio.sleep(0))\nprint(sys.argv, sys.flags.optimize, sys.path[0])\n"
    command = executable(tmp_path / "serve", f"{first_line}\n{source}sys.exit(4)\n")
    python = executable(tmp_path / "python3", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    variables = with_path(tmp_path)
    plain = subprocess.run(
        ["serve", "--json", "x"], env=variables, cwd=PROGRAMS, capture_output=True, text=True, check=False
    )
    governed = run_governed(tmp_path, "serve", "--json", "x", env=variables)
    assert governed.own == (plain.returncode, plain.stdout, plain.stderr)
    assert governed.code == 4
    assert "sleep" in governed.groups()
    if "env" not in first_line:
        python.unlink()
        assert run_governed(tmp_path, command, "--json", "x", env=variables).own == governed.own


def test_a_command_of_this_installation_is_found_without_the_path(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    if not Path(sysconfig.get_path("scripts"), "uvicorn").exists():
        pytest.skip("uvicorn's command is elsewhere")
    governed = run_governed(tmp_path, "uvicorn", "--version", env=environment(PATH="/usr/bin:/bin"))
    assert governed.code == 0
    assert governed.stdout.startswith("Running uvicorn ")


def test_a_directory_of_a_commands_name_is_no_program(tmp_path: Path) -> None:
    executable(tmp_path / "serve", f"#!{sys.executable}\nprint('served')\n")
    here = tmp_path / "here"
    (here / "serve").mkdir(parents=True)
    ending = run_governed(tmp_path, "serve", cwd=here, env=with_path(tmp_path))
    assert (ending.code, ending.stdout) == (0, "served\n")
    (here / "serve" / "__main__.py").write_text("print('the directory')")
    assert run_governed(tmp_path, "serve", cwd=here, env=with_path(tmp_path)).stdout == "the directory\n"


def refused(ending: Ending, words: str) -> None:
    assert (ending.code, ending.stdout, ending.stderr) == (2, "", "")
    assert ending.report.count("\n") == 1
    assert words in ending.report


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (["sh", "-c", "true"], "'sh' is a binary, and only Python is governed"),
        (["/bin/sh", "-c", "true"], "'/bin/sh' is a binary, and only Python is governed"),
        (["wrapper"], "'wrapper' is a script of /bin/sh, and only Python is governed"),
        (["python3", "app.py"], "python3 does not have asyncio-pulse; install "),
        (["old"], "python3.9 has version 0.0.1 of asyncio-pulse; install "),
        (["gone"], "cannot start '/nowhere/python3'"),
        (["no-such-command"], "no script 'no-such-command', nor a command of that name"),
        (["./no-such-command"], "no script './no-such-command'"),
        (["-c"], "-c needs code"),
        ([sys.executable, "-I", "app.py"], "Python's option -I keeps it from governing"),
        ([sys.executable, "-X", "dev", "-uE", "app.py"], "Python's option -uE keeps it from governing"),
        (["strict"], "Python's option -Es keeps it from governing"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value).replace(sys.executable, "PYTHON"),
)
def test_what_cannot_be_governed_is_refused_in_one_line(program: list[str], words: str, tmp_path: Path) -> None:
    executable(tmp_path / "wrapper", "#!/bin/sh\nexec python app.py\n")
    executable(tmp_path / "python3", "#!/bin/sh\nexit 1\n")
    old = executable(tmp_path / "python3.9", "#!/bin/sh\necho 0.0.1\n")
    executable(tmp_path / "old", f"#!{old}\n")
    executable(tmp_path / "gone", "#!/nowhere/python3\n")
    executable(tmp_path / "strict", f"#!{sys.executable} -Es\n")
    refused(run([*PULSE, "run", *program], env=with_path(tmp_path)), words)


@pytest.mark.parametrize("tool", ["with a sitecustomize", "without"])
def test_a_tool_that_puts_its_own_sitecustomize_before_ours_hides_nothing(tool: str, tmp_path: Path) -> None:
    directory = tmp_path / "tool"
    directory.mkdir()
    (directory / "sitecustomize.py").write_text("import sys\nsys.displaced = True\n")
    launcher = tmp_path / "launcher.py"
    launcher.write_text(DISPLACES)
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\nprint(getattr(sys, 'displaced', False))\n"
        "import asyncio, asyncio.events\n"
        "print(asyncio.__file__, type(asyncio.__loader__), asyncio.__spec__.origin)\n"
        "print(sys.modules['asyncio'] is asyncio, asyncio.events.__spec__.name)\n"
        "print([each for each in sys.path if 'autostart' in each])\n"
        "asyncio.run(asyncio.sleep(0))\nsys.exit(5)\n"
    )
    arguments = [launcher, *([directory] if tool != "without" else []), program]
    plain = run_plain(*arguments, env=environment(PYTHONPATH="/nowhere"))
    governed = run_governed(tmp_path, *arguments)
    assert governed.own == plain.own
    assert governed.stdout.startswith(f"{tool != 'without'}\n")
    assert governed.code == 5
    assert "sleep" in governed.groups()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("print()", "no event loop ran, so there is nothing to report"),
        ("import asyncio", "asyncio was imported, but no event loop of asyncio's or uvloop's kind was made"),
        (
            "import asyncio\nasyncio.new_event_loop().close()",
            "no task ran on a governed event loop",
        ),
        (
            "import os, subprocess, sys\nsubprocess.run([sys.executable, '-E', '-c', 'import asyncio'])",
            "so there is nothing to report; no child process left a report either: each needs",
        ),
    ],
)
def test_nothing_to_report_has_a_reason(source: str, why: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(source)
    ending = run([*PULSE, "run", program])
    assert why in ending.report
    assert ending.report.count("\n") == 1
    assert run([*PULSE, "run", "--quiet", program]).report == ""


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_an_interpreter_that_was_asked_for_its_version_is_no_child_of_the_program(tmp_path: Path) -> None:
    other = tmp_path / "python3"
    other.write_text(f'#!/bin/sh\necho asked >>"{tmp_path}/asked"\nexec "{sys.executable}" "$@"\n')
    other.chmod(0o755)
    ending = run([*PULSE, "run", other, "-c", "print()"])
    assert (tmp_path / "asked").read_text() == "asked\n" * 2
    assert ending.report == "asyncio-pulse: no event loop ran, so there is nothing to report\n"
