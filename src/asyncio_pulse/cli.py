"""The `asyncio-pulse` command: reads the command line and calls the module that does the work."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .errors import ConfigError, PulseError
from .launch.arguments import USAGE_ERROR, Parser
from .runtime.config_sources import TABLE_NAMES, find_config_file

__all__ = ["main"]

CONFIG_ERROR = 1
READER_GONE = 141
"""The shell's exit code for programs that SIGPIPE ends."""
DESCRIPTION = """\
Keep an asyncio event loop responsive: find what holds it.

commands:
  run       run a program with every task governed, and report at its end
  diagnose  say what broke the target in a kept report, and what helps
  demo      show on a real web service what that finds
  config    show the settings in force, or check a file of them
  doctor    show what works here, what does not, and why

asyncio-pulse COMMAND --help explains each.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: The arguments after the command's own name; None means those of the process.

    Returns:
        The exit code: 0; 1 if a checked file is at fault; 2 if the command line is wrong; 141 if the reader is gone. `run`
        returns only if the command line is wrong: otherwise the program replaces this process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    commands = {"run": _run, "diagnose": _diagnose, "demo": _demo, "config": _config, "doctor": _doctor}
    if arguments and arguments[0] in commands:
        try:
            return commands[arguments[0]](arguments[1:])
        except PulseError as error:
            print("asyncio-pulse:", " ".join(str(error).split()), file=sys.stderr)
            return USAGE_ERROR
    import importlib.metadata  # 30 modules, which `run` would wait for

    parser = Parser(
        prog="asyncio-pulse",
        usage="asyncio-pulse [--version] command ...",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=importlib.metadata.version("asyncio-pulse"))
    parser.add_argument(
        "command", nargs="?", choices=commands, metavar="command", help="run, diagnose, demo, config or doctor"
    )
    if arguments:
        parser.parse_args(arguments)
    parser.print_help(sys.stderr)
    return USAGE_ERROR


def _demo(arguments: Sequence[str]) -> int:
    from .demo import main as run_demo

    return run_demo(arguments)


def _run(arguments: Sequence[str]) -> int:
    from .launch.command import main as run_program

    return run_program(arguments)


def _diagnose(arguments: Sequence[str]) -> int:
    from .reports.diagnosis import format_diagnosis
    from .reports.json import read_reports

    parser = Parser(
        prog="asyncio-pulse diagnose",
        description="Say whether a run kept its latency target, what broke it most, and what to do.",
    )
    parser.add_argument("report", metavar="FILE", help="a report that run --json has written")
    options = parser.parse_args(arguments)
    try:
        reports = read_reports(options.report)
    except OSError as error:
        raise PulseError(f"cannot read {options.report}: {error.strerror or error}") from error
    return _show(format_diagnosis(reports))


def _doctor(arguments: Sequence[str]) -> int:
    from .doctor.facts import collect_facts
    from .doctor.text import format_facts

    parser = Parser(prog="asyncio-pulse doctor", description="Show what works here, what does not, and why.")
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="TOML file with the settings; default: what run would use here"
    )
    options = parser.parse_args(arguments)
    return _show(format_facts(collect_facts(options.config or find_config_file(Path.cwd()))))


def _config(arguments: Sequence[str]) -> int:
    from .policy.tables import PROFILES
    from .reports.configuration import FORMATS

    parser = Parser(prog="asyncio-pulse config", description="Show the settings in force, or check a file of them.")
    commands = parser.add_subparsers(required=True, metavar="(show | check)")
    show = commands.add_parser("show", help="every setting, and where its value comes from")
    source = show.add_mutually_exclusive_group()
    source.add_argument("--config", metavar="FILE", type=Path, help="TOML file with the settings, or pyproject.toml")
    source.add_argument("--profile", metavar="NAME", choices=PROFILES, help=", ".join(PROFILES))
    show.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    show.set_defaults(command=_show_config)
    check = commands.add_parser(
        "check", help="whether a file is valid, every fault of it, and what in it has no effect"
    )
    check.add_argument("file", metavar="FILE", type=Path)
    check.set_defaults(command=_check_config)
    options = parser.parse_args(arguments)
    return int(options.command(options))


def _show_config(options: argparse.Namespace) -> int:
    from .policy.profiles import ConfigProfile
    from .reports.configuration import FORMATS
    from .runtime.settings import trace_config

    profile = ConfigProfile(options.profile) if options.profile else None
    return _show(FORMATS[options.format](trace_config(options.config or profile or find_config_file(Path.cwd()))))


def _check_config(options: argparse.Namespace) -> int:
    from .policy.without_effect import without_effect
    from .runtime.preemption import PROTECTED_MODULES
    from .runtime.settings import lacks_table, read_config_file

    try:
        config = read_config_file(options.file)
    except ConfigError as error:
        for fault in error.faults or (error,):
            print(f"{options.file}: {fault}", file=sys.stderr)
        return CONFIG_ERROR
    for warning in without_effect(config, PROTECTED_MODULES):
        print(f"{options.file}: warning: {warning}", file=sys.stderr)
    missing = lacks_table(options.file)
    return _show(f"{options.file}: valid" + (f", but it sets nothing: no [tool.{TABLE_NAMES[0]}]" if missing else ""))


def _show(text: str) -> int:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The reader has seen enough, as `head` does. Python would try to write again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    return 0
