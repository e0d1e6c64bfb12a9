"""The command `asyncio-pulse run`: prepares the environment, and becomes the program.

Every program waits for this module, so modules that only some runs need are imported on use: the settings only if there are
any.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from asyncio_pulse.errors import ConfigError, PulseError
from asyncio_pulse.runtime.config_sources import MODE_VARIABLE, TARGET_VARIABLE, find_config_file

from .arguments import options_end, run_parser
from .options import RunOptions, count_child_faults
from .program import find_program
from .spool_directory import make_spool, new_token, sweep_spools

__all__ = ["main"]

AUTOSTART_DIRECTORY = str(Path(__file__).parents[1] / "_autostart")
PROGRAM = "(script.py | command | -m module | -c code | -)"


def main(arguments: Sequence[str]) -> int:
    """Run a program. Returns only if the command line is wrong, or where a process cannot replace itself.

    Args:
        arguments: The arguments after `run`.

    Returns:
        The exit code.

    Raises:
        PulseError: The program cannot be started, or the named configuration is at fault.
    """
    end = options_end(arguments)
    options = run_parser().parse_args(arguments[:end])
    # `--` marks the beginning of the program, whose first word may look like one of our options.
    words = arguments[end:]
    words = words[1:] if words[:1] == ["--"] else words
    if not words:
        raise PulseError(f"run needs a program: asyncio-pulse run [options] {PROGRAM} [arguments]")
    program = find_program(words)
    config_path: Path | None = options.config or find_config_file(Path.cwd())
    is_off = _is_switched_off(config_path, is_named=options.config is not None)
    # The options -X and -W of this interpreter also hold for the program; subprocess can reconstruct them.
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
        advice_path=options.advise and os.path.abspath(options.advise),
        quiet=options.quiet,
        worst_count=options.worst,
        routes=options.routes,
        child_faults=count_child_faults(),
        starts_off=config_path is not None and _says_off(config_path),
    )
    environment = {**os.environ, **run_options.to_environment(), "PYTHONPATH": _python_path()}
    if options.target is not None:
        environment[TARGET_VARIABLE] = options.target
    if sys.platform == "win32":
        from .delivery import Delivery

        return _run_beside(command, environment, Delivery(run_options).finish)
    return _run_instead(command, environment)


def _is_switched_off(config_path: Path | None, *, is_named: bool) -> bool:
    """Whether the program runs without asyncio-pulse. A configuration that was named must be sound."""
    if config_path is None and not os.environ.get(MODE_VARIABLE):
        return False
    from asyncio_pulse.runtime.settings import is_switched_off, resolve_config

    if is_switched_off() or config_path is None:
        return is_switched_off()
    try:
        resolve_config(config_path)
    except ConfigError as error:
        if is_named:
            raise
        # The file of the directory was not requested, so a fault in it must not prevent the program from running.
        print(f"asyncio-pulse: {' '.join(str(error).split())}", file=sys.stderr)
        return True
    return False


def _says_off(config_path: Path) -> bool:
    from asyncio_pulse.runtime.settings import resolve_config

    return resolve_config(config_path).mode == "off"


def _run_alone(command: list[str], options: argparse.Namespace) -> int:
    """Run the program ungoverned. The environment turns asyncio-pulse off for its children too."""
    if not options.quiet:
        print("asyncio-pulse: the mode is off: nothing is measured, and nothing acts", file=sys.stderr)
    if options.json:
        from asyncio_pulse.reports.json import write_reports

        # A report that cannot be written must not prevent the program from running.
        with contextlib.suppress(OSError):
            write_reports(options.json, [])
    if options.advise:
        from asyncio_pulse.reports.advised import advised_configuration

        with contextlib.suppress(OSError):
            Path(options.advise).write_text(advised_configuration([]), encoding="utf-8")
    environment = {**os.environ, MODE_VARIABLE: "off"}
    if sys.platform == "win32":
        return _run_beside(command, environment, lambda: None)
    return _run_instead(command, environment)


def _python_path() -> str:
    earlier = os.environ.get("PYTHONPATH")
    # A separator without a second entry would add the working directory.
    return f"{AUTOSTART_DIRECTORY}{os.pathsep}{earlier}" if earlier else AUTOSTART_DIRECTORY


def _run_instead(command: list[str], environment: dict[str, str]) -> int:
    """Become the program: arguments, signals and exit codes are then those of plain Python."""
    try:
        os.execve(command[0], command, environment)
    except OSError as error:
        raise PulseError(f"cannot start {command[0]!r}: {error.strerror}") from error


def _run_beside(command: list[str], environment: dict[str, str], finish: Callable[[], None]) -> int:
    """Run the program as a child, where a process cannot replace itself, and report for it. Not tested on Windows."""
    process = subprocess.Popen(command, env=environment)
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:
            continue  # the console interrupts the program too, and the program decides
    finish()
    return code
