"""Parsers of the command lines of asyncio-pulse."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from asyncio_pulse.errors import ConfigError

__all__ = ["USAGE_ERROR", "Parser", "options_end", "run_parser"]

USAGE_ERROR = 2
OPTIONS_WITH_VALUE = ("--advise", "--config", "--json", "--target", "--worst")


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit."""
        self.exit(USAGE_ERROR, f"asyncio-pulse: {message} (see: {self.prog} --help)\n")


def run_parser() -> Parser:
    """Make the parser of the options before the program."""
    parser = Parser(
        prog="asyncio-pulse run",
        usage="asyncio-pulse run [options] PROGRAM [arguments]",
        description="Run a Python program with every task governed, child processes included, and report at its end and "
        "on SIGUSR2. PROGRAM is a script.py, -m module, -c code, - for standard input, or a command: that of a Python "
        "script, such as uvicorn, or python itself. Everything after it is passed to the program.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="TOML file with the settings, or pyproject.toml; read again on SIGHUP",
    )
    parser.add_argument(
        "--target", metavar="TIME", type=_target, help="latency target, such as 5ms, instead of the configuration's"
    )
    parser.add_argument("--json", metavar="FILE", type=_writable_file, help="write the report as JSON as well")
    parser.add_argument(
        "--advise", metavar="FILE", type=_new_file, help="write what would keep the target as a configuration to review"
    )
    parser.add_argument("--quiet", action="store_true", help="no text report at the end")
    parser.add_argument(
        "--worst", metavar="N", type=_worst_count, default=10, help="number of worst polls to show (default: 10)"
    )
    parser.add_argument(
        "--no-routes", dest="routes", action="store_false", help="do not name the routes of web and gRPC servers"
    )
    return parser


def options_end(arguments: Sequence[str]) -> int:
    """Find where our options end. argparse would also parse the program's options."""
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
    # A regular file is replaced; a device or a pipe is written to.
    replaced = os.path.isfile(path) or not os.path.exists(path)
    if not os.access(directory if replaced else path, os.W_OK):
        raise argparse.ArgumentTypeError(f"{path!r} cannot be written; choose another file")
    return path


def _new_file(path: str) -> str:
    if os.path.isfile(path):
        raise argparse.ArgumentTypeError(f"{path!r} exists, and may be yours; name a new file")
    return _writable_file(path)


def _target(text: str) -> str:
    from asyncio_pulse.policy.target import parse_target  # imported late, because most runs give no target

    try:
        return f"{parse_target('TIME', text)}ms"
    except ConfigError as error:
        raise argparse.ArgumentTypeError(error.faults[0].message) from error


def _worst_count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of polls, 0 or more")
    return int(text)
