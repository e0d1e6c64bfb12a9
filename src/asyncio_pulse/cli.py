"""The `asyncio-pulse` command: reads the command line and hands over to what does the work."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from .errors import ConfigError, PulseError
from .policy.profiles import ConfigProfile
from .policy.tables import PROFILES
from .reports.configuration import FORMATS
from .reports.delivery import Delivery, count_child_faults
from .reports.json import write_reports
from .reports.spool import make_spool, new_token, sweep_spools
from .runtime.autostart import RunOptions
from .runtime.program import find_program
from .runtime.settings import (
    MODE_VARIABLE,
    TABLE_NAMES,
    find_config_file,
    is_switched_off,
    lacks_table,
    read_config_file,
    resolve_config,
    trace_config,
)

__all__ = ["main"]

CONFIG_ERROR = 1
USAGE_ERROR = 2
READER_GONE = 141
"""What a shell says of tools that SIGPIPE ends."""
AUTOSTART_DIRECTORY = str(Path(__file__).parent / "_autostart")
PROGRAM = "(script.py | command | -m module | -c code | -)"
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
        The exit code: 0, 1 when a checked file is at fault, 2 when the command line is wrong, or 141 when nobody reads on.
        `run` returns only when the command line is wrong: otherwise the program takes its place.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    commands = {"run": _run, "demo": _demo, "config": _config, "doctor": _doctor}
    if arguments and arguments[0] in commands:
        try:
            return commands[arguments[0]](arguments[1:])
        except PulseError as error:
            print("asyncio-pulse:", " ".join(str(error).split()), file=sys.stderr)
            return USAGE_ERROR
    import importlib.metadata  # 30 modules, which `run` would wait for

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
    return _show(format_facts(collect_facts(options.config or find_config_file(Path.cwd()))))


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
    return _show(FORMATS[options.format](trace_config(options.config or profile or find_config_file(Path.cwd()))))


def _check_config(options: argparse.Namespace) -> int:
    try:
        read_config_file(options.file)
    except ConfigError as error:
        for fault in error.faults or (error,):
            print(f"{options.file}: {fault}", file=sys.stderr)
        return CONFIG_ERROR
    missing = lacks_table(options.file)
    return _show(f"{options.file}: valid" + (f", but it sets nothing: no [tool.{TABLE_NAMES[0]}]" if missing else ""))


def _show(text: str) -> int:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The reader has seen enough, as `head` does. Python would try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    return 0


def _run(arguments: Sequence[str]) -> int:
    options_end = _find_program(arguments)
    options = _run_parser().parse_args(arguments[:options_end])
    # `--` says where the program begins, which may look like an option of ours.
    words = arguments[options_end:]
    words = words[1:] if words[:1] == ["--"] else words
    if not words:
        raise PulseError(f"run needs a program: asyncio-pulse run [options] {PROGRAM} [arguments]")
    program = find_program(words)
    config_path: Path | None = options.config or find_config_file(Path.cwd())
    is_off = _is_switched_off(config_path, is_named=options.config is not None)
    # What -X and -W asked of this interpreter holds for the program: subprocess knows how to say it.
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    command = [program.interpreter, *flags, *program.arguments]
    if is_off:
        return _run_alone(command, options)
    if sys.flags.ignore_environment or sys.flags.no_site:
        raise PulseError("Python's options -E, -I and -S keep it from governing a program; leave them out")
    sweep_spools()
    run_options = RunOptions(
        main_pid=os.getpid(),
        spool_directory=make_spool(),
        spool_token=new_token(),
        config_path=None if config_path is None else os.path.abspath(config_path),
        json_path=options.json and os.path.abspath(options.json),
        quiet=options.quiet,
        worst_count=options.worst,
        child_faults=count_child_faults(),
        starts_off=config_path is not None and resolve_config(config_path).mode == "off",
    )
    environment = {**os.environ, **run_options.to_environment(), "PYTHONPATH": _python_path()}
    if sys.platform == "win32":
        return _run_beside(command, environment, Delivery(run_options).finish)
    return _run_instead(command, environment)


def _is_switched_off(config_path: Path | None, *, is_named: bool) -> bool:
    """Tell whether the program is to run as if there were no asyncio-pulse; a file that was named must be sound."""
    if is_switched_off() or config_path is None:
        return is_switched_off()
    try:
        resolve_config(config_path)
    except ConfigError as error:
        if is_named:
            raise
        # Nobody asked for the file of the directory, so that a fault of it keeps no program from running.
        print(f"asyncio-pulse: {' '.join(str(error).split())}", file=sys.stderr)
        return True
    return False


def _run_alone(command: list[str], options: argparse.Namespace) -> int:
    """Run the program and leave it alone; its children see in the environment that all is off."""
    if not options.quiet:
        print("asyncio-pulse: the mode is off: nothing is measured, and nothing acts", file=sys.stderr)
    if options.json:
        # That it cannot be written is no reason to keep the program from running.
        with contextlib.suppress(OSError):
            write_reports(options.json, [])
    environment = {**os.environ, MODE_VARIABLE: "off"}
    if sys.platform == "win32":
        return _run_beside(command, environment, lambda: None)
    return _run_instead(command, environment)


def _run_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="asyncio-pulse run",
        usage="asyncio-pulse run [options] PROGRAM [arguments]",
        description="Run a Python program with every task governed, child processes included, and report at its end and "
        "on SIGUSR2. PROGRAM is a script.py, -m module, -c code, - for standard input, or a command: that of a Python "
        "script, such as uvicorn, or python itself. All that follows it is the program's.",
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
        if argument in ("-", "--") or argument.startswith(("-m", "-c")) or not argument.startswith("-"):
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


def _run_beside(command: list[str], environment: dict[str, str], finish: Callable[[], None]) -> int:
    """Run the program as a child, where a process cannot become another one; then speak for it. Not run on Windows."""
    process = subprocess.Popen(command, env=environment)
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:
            continue  # the console sends it to the program too, which decides what to do
    finish()
    return code
