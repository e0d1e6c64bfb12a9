"""The `asyncio-pulse` command: reads the command line and hands over to what does the work."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .errors import ConfigError, PulseError
from .policy.profiles import ConfigProfile
from .policy.tables import PROFILES
from .reports.configuration import FORMATS
from .reports.delivery import Delivery
from .runtime.autostart import RunOptions
from .runtime.program import check_program
from .runtime.settings import PROFILE_VARIABLE, find_config_file, read_config_file, resolve_config, trace_config

__all__ = ["main"]

CONFIG_ERROR = 1
USAGE_ERROR = 2
AUTOSTART_DIRECTORY = str(Path(__file__).parent / "_autostart")
OPTIONS_WITH_VALUE = ("--config", "--json", "--worst")
DESCRIPTION = """\
Keep an asyncio event loop responsive: find what holds it.

commands:
  run     run a program with every task governed, and report at its end
  demo    show on a real web service what that finds
  config  show the settings in force, or check a file of them
  doctor  show what works here, what does not, and why

asyncio-pulse COMMAND --help explains each.
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"asyncio-pulse: {message} (see: {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Without the command's own name; default: the process's.

    Returns:
        The exit code: 0, 1 when a checked file is at fault, or 2 when the command line is wrong. `run` returns only then:
        the program takes its place.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    commands = {"run": _run, "demo": _demo, "config": _config, "doctor": _doctor}
    if arguments and arguments[0] in commands:
        try:
            return commands[arguments[0]](arguments[1:])
        except PulseError as error:
            print("asyncio-pulse:", " ".join(str(error).split()), file=sys.stderr)
            return USAGE_ERROR
    parser = _Parser(
        prog="asyncio-pulse",
        usage="asyncio-pulse [--version] command ...",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=importlib.metadata.version("asyncio-pulse"))
    parser.add_argument("command", nargs="?", choices=commands, metavar="command", help="run, demo, config or doctor")
    if arguments:
        parser.parse_args(arguments)
    parser.print_help(sys.stderr)
    return USAGE_ERROR


def _demo(arguments: Sequence[str]) -> int:
    from .demo import main as run_demo

    return run_demo(arguments)


def _doctor(arguments: Sequence[str]) -> int:
    from .reports.doctor import format_facts
    from .runtime.doctor import collect_facts

    parser = _Parser(prog="asyncio-pulse doctor", description="Show what works here, what does not, and why.")
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="TOML file with the settings; default: what run would use here"
    )
    options = parser.parse_args(arguments)
    print(format_facts(collect_facts(options.config or _default_config_file())))
    return 0


def _config(arguments: Sequence[str]) -> int:
    parser = _Parser(prog="asyncio-pulse config", description="Show the settings in force, or check a file of them.")
    commands = parser.add_subparsers(required=True, metavar="(show | check)")
    show = commands.add_parser("show", help="every setting, and where its value comes from")
    source = show.add_mutually_exclusive_group()
    source.add_argument("--config", metavar="FILE", type=Path, help="TOML file with the settings, or pyproject.toml")
    source.add_argument("--profile", metavar="NAME", choices=PROFILES, help=", ".join(PROFILES))
    show.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    show.set_defaults(command=_show_config)
    check = commands.add_parser("check", help="whether a file is valid, and every fault of it")
    check.add_argument("file", metavar="FILE", type=Path)
    check.set_defaults(command=_check_config)
    options = parser.parse_args(arguments)
    return int(options.command(options))


def _show_config(options: argparse.Namespace) -> int:
    profile = ConfigProfile(options.profile) if options.profile else None
    print(FORMATS[options.format](trace_config(options.config or profile or _default_config_file())))
    return 0


def _check_config(options: argparse.Namespace) -> int:
    try:
        read_config_file(options.file)
    except ConfigError as error:
        for fault in error.faults or (error,):
            print(f"{options.file}: {fault}", file=sys.stderr)
        return CONFIG_ERROR
    print(f"{options.file}: valid")
    return 0


def _default_config_file() -> Path | None:
    """The file that holds where none is named: a profile in the environment goes before one in the directory."""
    return None if os.environ.get(PROFILE_VARIABLE) else find_config_file(Path.cwd())


def _run(arguments: Sequence[str]) -> int:
    options_end = _find_program(arguments)
    options = _run_parser().parse_args(arguments[:options_end])
    program = arguments[options_end:]
    if not program:
        raise PulseError("run needs a program: asyncio-pulse run [options] (script.py | -m module) [arguments]")
    check_program(program)
    config_path: Path | None = options.config or _default_config_file()
    resolve_config(config_path)
    if sys.flags.ignore_environment or sys.flags.no_site:
        raise PulseError("Python's options -E, -I and -S keep it from governing a program; leave them out")
    run_options = RunOptions(
        main_pid=os.getpid(),
        spool_directory=tempfile.mkdtemp(prefix="asyncio-pulse-"),
        config_path=None if config_path is None else os.path.abspath(config_path),
        json_path=options.json and os.path.abspath(options.json),
        quiet=options.quiet,
        worst_count=options.worst,
    )
    environment = {**os.environ, **run_options.to_environment(), "PYTHONPATH": _python_path()}
    # What -X and -W asked of this interpreter holds for the program: subprocess knows how to say it.
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    command = [sys.executable, *flags, *program]
    if sys.platform == "win32":
        return _run_beside(command, environment, Delivery(run_options))
    return _run_instead(command, environment)


def _run_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="asyncio-pulse run",
        usage="asyncio-pulse run [options] (script.py | -m module) [arguments]",
        description="Run a program with every task governed, child processes included, and report at its end and on "
        "SIGUSR2. All that follows the script or module is the program's.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="TOML file with the settings, or pyproject.toml; read again on SIGHUP",
    )
    parser.add_argument("--json", metavar="FILE", type=_writable_file, help="write the report as JSON as well")
    parser.add_argument("--quiet", action="store_true", help="no text report at the end")
    parser.add_argument(
        "--worst", metavar="N", type=_worst_count, default=10, help="how many of the worst polls to show (default: 10)"
    )
    return parser


def _find_program(arguments: Sequence[str]) -> int:
    """Find where our options end; argparse would take the program's for ours."""
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        if argument.startswith("-m") or not argument.startswith("-"):
            break
        index += 2 if argument in OPTIONS_WITH_VALUE else 1
    return min(index, len(arguments))


def _writable_file(path: str) -> str:
    directory = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise argparse.ArgumentTypeError(f"{path!r} is a directory; name a file")
    if not os.path.isdir(directory):
        raise argparse.ArgumentTypeError(f"the directory {directory!r} does not exist; create it first")
    # A regular file is replaced, a device or a pipe is written to.
    replaced = os.path.isfile(path) or not os.path.exists(path)
    if not os.access(directory if replaced else path, os.W_OK):
        raise argparse.ArgumentTypeError(f"{path!r} cannot be written; choose another file")
    return path


def _worst_count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of polls, 0 or more")
    return int(text)


def _python_path() -> str:
    earlier = os.environ.get("PYTHONPATH")
    # No separator without a second entry: an empty one would mean the working directory.
    return f"{AUTOSTART_DIRECTORY}{os.pathsep}{earlier}" if earlier else AUTOSTART_DIRECTORY


def _run_instead(command: list[str], environment: dict[str, str]) -> int:
    """Become the program: arguments, signals and exit codes are then those of plain Python."""
    try:
        os.execve(command[0], command, environment)
    except OSError as error:
        raise PulseError(f"cannot start {command[0]!r}: {error.strerror}") from error


def _run_beside(command: list[str], environment: dict[str, str], delivery: Delivery) -> int:
    """Run the program as a child, where a process cannot become another one; then speak for it. Not run on Windows."""
    process = subprocess.Popen(command, env=environment)
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:
            continue  # the console sends it to the program too, which decides what to do
    delivery.finish()
    return code
