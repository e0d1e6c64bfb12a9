"""The line that imports at the start of a program what was seen being imported later."""

from __future__ import annotations

import linecache
import re
from collections.abc import Sequence

from asyncio_pulse.metrics.model import StackFrame

from .counterparts import module_of

__all__ = ["import_line"]

_IMPORT = re.compile(r"\s*(import \w[\w., ]*|from \w[\w.]* import \w[\w, ]*)\s*(#.*)?$")


def import_line(stack: Sequence[StackFrame]) -> str:
    """Return the import that a stack, innermost frame first, is in; empty if it cannot be told."""
    modules = [index for index, frame in enumerate(stack) if frame.function == "<module>"]
    if not modules:
        return ""
    # What imports may be a function of a library, which the program cannot call early.
    outermost = modules[-1]
    for frame in stack[outermost + 1 :]:
        if not frame.filename.startswith("<frozen importlib"):
            found = _IMPORT.match(linecache.getline(frame.filename, frame.line))
            # A relative import means another module elsewhere.
            if found:
                return found.group(1).rstrip()
            break
    name = module_of(stack[outermost].filename).removesuffix(".__init__")
    return f"import {name}" if name else ""
