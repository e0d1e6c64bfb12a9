"""Finds the Python program that a command line means, and checks that it can be started, before any of it runs."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from typing import NamedTuple

from asyncio_pulse.errors import PulseError

__all__ = ["Program", "find_program"]

PYTHON_NAME = re.compile(r"(?i)python[\d.]*t?d?(\.exe)?")
MAINS = {"__main__.py", "__main__.pyc"}
OPTIONS_WITH_VALUE = ("-X", "-W", "--check-hash-based-pycs")
START_BYTES = 1024
SHELL_TRICK = re.compile(r"""'''exec' ["']?(/.+?)["']? "\$0" "\$@\"""")
BINARIES = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
"""First bytes of programs for Linux, Windows and macOS."""
PATIENCE_S = 60.0


class Program(NamedTuple):
    """A program and its interpreter."""

    interpreter: str
    arguments: list[str]
    """Arguments of the interpreter: its options; then a script, `-m` and a module, `-c` and code, or `-`; then the rest."""


def find_program(words: Sequence[str]) -> Program:
    """Find the Python program that a command line means, without executing any of it.

    Args:
        words: The command line, at least one word. It begins like that of Python: a script, a directory, a zip file, `-m`
            and a module, `-c` and code, or `-` for standard input. Or it begins like that of a shell: a command that is a
            Python script, such as `uvicorn`, or an interpreter, such as `python`. The program's arguments follow.

    Raises:
        PulseError: There is no such program, it cannot be read, or it is not a Python program. The text is one line.
    """
    first, others = words[0], words[1:]
    if first.startswith(("-m", "-c")):
        _check_option(first, others)
    elif first == "-":
        pass
    elif not _is_script(first):
        return _from_command(_command(first), first, others)
    elif os.path.isfile(first) and os.access(first, os.X_OK) and _says_its_interpreter(first):
        return _from_command(first, first, others)
    else:
        _check_script(first)
    return Program(sys.executable, list(words))


def _check_option(option: str, others: Sequence[str]) -> None:
    name, value = option[:2], option[2:] or (others[0] if others else None)
    if value is None:
        raise PulseError(f"{name} needs {'the name of a module' if name == '-m' else 'code'}")
    if name == "-m":
        _check_module(value)


def _is_script(path: str) -> bool:
    """Whether a script is meant, rather than a command with the same name as a directory without a program."""
    if os.path.isdir(path) and os.sep not in path and MAINS.isdisjoint(os.listdir(path)):
        return _which(path) is None
    return os.path.exists(path)


def _command(name: str) -> str:
    command = None if os.sep in name else _which(name)
    if command is None:
        raise PulseError(f"there is no script {name!r}, nor a command of that name; a module is run with -m")
    return command


def _which(name: str) -> str | None:
    # Commands of this installation need not be on PATH, because ours may have been called by its full path.
    return shutil.which(name) or shutil.which(name, path=os.path.dirname(sys.executable))


def _says_its_interpreter(path: str) -> bool:
    """Whether a file is an interpreter, or names one by its path. `env python` in an app.py may mean any interpreter."""
    if PYTHON_NAME.fullmatch(os.path.basename(path)):
        return True
    return not path.endswith(".py") and _shebang(path)[:1] not in ([], ["env"])


def _from_command(path: str, name: str, others: Sequence[str]) -> Program:
    """Start an executable file as the system would: with the interpreter from its first line."""
    if PYTHON_NAME.fullmatch(os.path.basename(path)):
        return _with_interpreter(path, others)
    interpreter, *options = _shebang(path) or [""]
    if interpreter == "env" and options:
        interpreter, *options = shutil.which(options[0]) or options[0], *options[1:]
    if not PYTHON_NAME.fullmatch(os.path.basename(interpreter)):
        raise _not_python(name, f"a script of {interpreter}" if interpreter else "a binary")
    return _with_interpreter(interpreter, [*options, path, *others])


def _not_python(name: str, kind: str) -> PulseError:
    return PulseError(f"{name!r} is {kind}, and only Python is governed; name the Python program that it starts")


def _shebang(path: str) -> list[str]:
    """Return a file's interpreter and its options from the shebang; `env` and a name if it is searched on PATH."""
    first, _, rest = _start_of(path).decode("utf-8", "replace").partition("\n")
    if not first.startswith("#!"):
        return []
    # A shebang cannot hold a long path or one with spaces. A shell then starts the interpreter, by a line that is plain
    # text for Python.
    trick = SHELL_TRICK.match(rest)
    words = [trick[1]] if trick else first[2:].split()
    if words and os.path.basename(words[0]) == "env":
        return ["env", *(word for word in words[1:] if word != "-S")]
    return words


def _start_of(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(START_BYTES)
    except OSError as error:
        raise PulseError(f"cannot read the script {path!r}: {error.strerror}") from error


def _with_interpreter(interpreter: str, arguments: Sequence[str]) -> Program:
    """Check that an interpreter's program will be governed: it must have this package and read its environment."""
    position = 0
    while position < len(arguments) and arguments[position].startswith("-"):
        option = arguments[position]
        if option == "-" or option.startswith(("-c", "-m")):
            break
        if not option.startswith(("--", "-X", "-W")) and not set("EIS").isdisjoint(option):
            raise PulseError(f"Python's option {option} keeps it from governing a program; leave it out")
        position += 2 if option in OPTIONS_WITH_VALUE else 1
    if not _is_own(interpreter):
        _check_version(interpreter)
    return Program(interpreter, list(arguments))


def _is_own(interpreter: str) -> bool:
    # Virtual environments of one Python share the binary, in directories of their own.
    with contextlib.suppress(OSError):
        directories = [os.path.dirname(os.path.abspath(each)) for each in (interpreter, sys.executable)]
        return os.path.samefile(interpreter, sys.executable) and os.path.samefile(*directories)
    return False


def _check_version(interpreter: str) -> None:
    import importlib.metadata  # 30 modules, which every run would wait for

    own = importlib.metadata.version("asyncio-pulse")
    code = "import asyncio_pulse._core, importlib.metadata as metadata; print(metadata.version('asyncio-pulse'))"
    try:
        found = subprocess.run(
            [interpreter, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise PulseError(f"cannot start {interpreter!r}: {error}") from error
    version = found.stdout.decode("utf-8", "replace").strip() if found.returncode == 0 else ""
    if version != own:
        lack = f"has version {version} of" if version else "does not have"
        raise PulseError(f"{interpreter} {lack} asyncio-pulse; install {own} for it, or use {sys.executable}")


def _check_script(path: str) -> None:
    if os.path.isdir(path):
        names = os.listdir(path)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    else:
        if _start_of(path).startswith(BINARIES):
            raise _not_python(path, "a binary")
        return
    if MAINS.isdisjoint(names):
        raise PulseError(f"{path!r} has no __main__.py, so it cannot be run")


def _check_module(name: str) -> None:
    if not sys.flags.safe_path:
        # `python -m` searches the working directory first. Here sys.path begins with this command's own directory instead.
        sys.path[0] = os.getcwd()
    spec = _find_module(name)
    if spec is None:
        raise PulseError(f"there is no module {name!r} for {sys.executable}")
    locations = spec.submodule_search_locations
    if locations is not None and PathFinder.find_spec("__main__", list(locations)) is None:
        raise PulseError(f"the package {name!r} has no __main__, so it cannot be run; name a module of it")


def _find_module(name: str) -> ModuleSpec | None:
    """Find a module without importing anything. `importlib.util.find_spec` would import the packages around it."""
    outermost, *others = name.split(".")
    try:
        spec = importlib.util.find_spec(outermost)
    except ValueError:  # no name, or an imported module without a spec, such as this process's __main__
        return None
    for part in others:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(part, list(spec.submodule_search_locations))
    return spec
