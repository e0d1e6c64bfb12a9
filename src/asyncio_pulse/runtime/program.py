"""Which program a command line names, and whether Python can start it: said before anything of it runs."""

from __future__ import annotations

import importlib.util
import os
import sys
import zipfile
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder

from asyncio_pulse.errors import PulseError

__all__ = ["check_program"]


def check_program(arguments: Sequence[str]) -> None:
    """Refuse a program that Python could not start; nothing of the program is executed for that.

    Args:
        arguments: What follows the interpreter's own options: a script, or `-m` and a module; then its arguments.

    Raises:
        PulseError: There is no such program, or it cannot be read; the text is one line.
    """
    first = arguments[0]
    if first == "-m":
        if len(arguments) < 2:
            raise PulseError("-m needs the name of a module")
        _check_module(arguments[1])
    elif first.startswith("-m"):
        _check_module(first[2:])
    else:
        _check_script(first)


def _check_script(path: str) -> None:
    if os.path.isdir(path):
        names = os.listdir(path)
    elif not os.path.exists(path):
        raise PulseError(f"there is no script {path!r}; a module is run with -m")
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    else:
        try:
            open(path, "rb").close()
        except OSError as error:
            raise PulseError(f"cannot read the script {path!r}: {error.strerror}") from error
        return
    if not {"__main__.py", "__main__.pyc"}.intersection(names):
        raise PulseError(f"{path!r} has no __main__.py, so it cannot be run")


def _check_module(name: str) -> None:
    if not sys.flags.safe_path:
        # `python -m` looks in the working directory where this command's own directory is now.
        sys.path[0] = os.getcwd()
    spec = _find_module(name)
    if spec is None:
        raise PulseError(f"there is no module {name!r} for {sys.executable}")
    locations = spec.submodule_search_locations
    if locations is not None and PathFinder.find_spec("__main__", list(locations)) is None:
        raise PulseError(f"the package {name!r} has no __main__, so it cannot be run; name a module of it")


def _find_module(name: str) -> ModuleSpec | None:
    """Find a module by the files alone: `importlib.util.find_spec` would import the packages around it."""
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
