"""The call of a program that leads to a place, read from the program's source, so that advice can be pasted."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import linecache
import re
from collections.abc import Iterator, Sequence

from asyncio_pulse.metrics.code_places import first_own
from asyncio_pulse.metrics.model import StackFrame

__all__ = ["ProgramCall", "called_in", "innermost_coroutine", "moved_call"]

MOST_LINES = 2000
"""Longer functions are not read: a report may be asked for while the loop runs."""

MOST_CHARACTERS = 80
"""Longer arguments are left out."""

# They return at once, and compute later. Whoever moves only their call moves nothing.
_LAZY = frozenset({"enumerate", "filter", "finditer", "iter", "map", "reversed", "scanner", "zip"})
# They are called beside what takes long, and do not take long themselves.
_SHORT = frozenset({"bool", "float", "int", "len", "str"})


@dataclasses.dataclass(frozen=True, slots=True)
class ProgramCall:
    """A call as it stands in the source."""

    function: str
    arguments: tuple[str, ...]
    has_keywords: bool = False

    @property
    def name(self) -> str:
        """The last part of the function's name."""
        return self.function.rpartition(".")[2]

    def in_thread(self) -> str:
        """Return a line that makes the call in a thread."""
        return f"await asyncio.to_thread({', '.join((self.function, *self.arguments))})"

    def in_process(self) -> str:
        """Return a line that makes the call in a process of a pool."""
        inner = ", ".join((self.function, *self.arguments))
        if self.has_keywords:
            inner = f"functools.partial({inner})"
        return f"await loop.run_in_executor(process_pool, {inner})"


def innermost_coroutine(stack: Sequence[StackFrame]) -> int | None:
    """Return the index of the innermost frame of a coroutine function; None if there is none, or the source is unknown."""
    return next((index for index, frame in enumerate(stack) if _is_coroutine(frame)), None)


def moved_call(stack: Sequence[StackFrame]) -> ProgramCall | None:
    """Return the call that is to be made elsewhere: the one that a coroutine of the program makes without `await`.

    None if it cannot be told from the source, or if no coroutine of the program makes it.
    """
    index = innermost_coroutine(stack)
    if index is None or not _is_own(stack[index]):
        return None
    inner = stack[index - 1].function if index else ""
    calls = [call for call in called_in(stack[index]) if call.name not in _LAZY]
    owner, _, name = inner.rpartition(".")
    wanted = owner.rpartition(".")[2] if name in ("__init__", "__new__") else name
    if inner:
        return next((call for call in calls if call.name == wanted), None)
    calls = [call for call in calls if call.name not in _SHORT]
    return calls[0] if len(calls) == 1 else None


def called_in(frame: StackFrame) -> list[ProgramCall]:
    """Return the calls on a frame's line that are not awaited, innermost first. Empty if the source is unknown."""
    block = _block(frame)
    if block is None:
        return []
    first, text = block
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    awaited = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Await)}
    line = frame.line - first
    nodes = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and id(node) not in awaited and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return [_program_call(node) for node in sorted(nodes, key=_extent)]


def _extent(node: ast.Call) -> tuple[int, int]:
    return (node.end_lineno or node.lineno) - node.lineno, (node.end_col_offset or 0) - node.col_offset


def _program_call(node: ast.Call) -> ProgramCall:
    arguments = tuple(map(ast.unparse, (*node.args, *node.keywords)))
    if sum(map(len, arguments)) > MOST_CHARACTERS or any("await " in each for each in arguments):
        arguments = ("...",)
    function = ast.unparse(node.func)
    return ProgramCall(function if len(function) <= MOST_CHARACTERS else "function", arguments, bool(node.keywords))


def _is_own(frame: StackFrame) -> bool:
    return first_own((frame,)) is not None


def _is_coroutine(frame: StackFrame) -> bool:
    header = next(_headers(frame), None)
    return header is not None and header[1].lstrip().startswith("async")


def _headers(frame: StackFrame) -> Iterator[tuple[int, str]]:
    """Yield the definitions of a frame's function at or above its line, nearest first: index and text of the line."""
    name = re.escape(frame.function.rpartition(".")[2])
    pattern = re.compile(rf"\s*(async\s+)?def\s+{name}\s*[(\[]")
    lines = linecache.getlines(frame.filename)
    for index in range(min(frame.line, len(lines)) - 1, max(frame.line - MOST_LINES, 0) - 1, -1):
        if pattern.match(lines[index]):
            yield index, lines[index]


def _block(frame: StackFrame) -> tuple[int, str] | None:
    """Return the source of a frame's function: the number of lines before it, and its text."""
    header = next(_headers(frame), None)
    if header is None:
        return None
    lines = linecache.getlines(frame.filename)[header[0] : header[0] + MOST_LINES]
    try:
        text = "".join(inspect.getblock(lines))
    except (SyntaxError, ValueError):
        return None
    # Not dedented, because a string over several lines may have less indentation.
    return (header[0] - 1, f"if True:\n{text}") if text[:1].isspace() else (header[0], text)
