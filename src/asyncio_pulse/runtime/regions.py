"""Finds the bodies of `async with` statements in a code object: a task suspended there may hold a resource.

CPython compiles such a body as a region of the exception table whose handler calls `__aexit__`. The handler begins with
PUSH_EXC_INFO, WITH_EXCEPT_START, and then awaits. Format of the table: Objects/exception_handling_notes.txt of CPython,
3.11 and later.
"""

from __future__ import annotations

import dis
import struct
from collections.abc import Iterator
from types import CodeType

__all__ = ["async_with_bodies"]

# Length of a handler up to the await of the result of __aexit__. A synchronous `with` has no such await.
LONGEST_PROLOGUE = 4


def _numbers(table: bytes) -> Iterator[int]:
    """Decode the table's numbers: six bits per byte, most significant first; bit 6 marks that another byte follows."""
    value = 0
    for byte in table:
        value = value << 6 | byte & 63
        if not byte & 64:
            yield value
            value = 0


def _regions(code: CodeType) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and handler of each region, in bytes."""
    numbers = _numbers(code.co_exceptiontable)
    for start, length, handler, _ in zip(numbers, numbers, numbers, numbers, strict=True):
        yield start * 2, (start + length) * 2, handler * 2


def _exit_handlers(code: CodeType, handlers: set[int]) -> set[int]:
    """Return the handlers that await `__aexit__`."""
    if not handlers:
        return set()
    names = {instruction.offset: instruction.opname for instruction in dis.get_instructions(code)}
    offsets = sorted(names)
    chosen = set()
    for index, offset in enumerate(offsets):
        prologue = [names[each] for each in offsets[index : index + LONGEST_PROLOGUE]]
        if offset in handlers and "WITH_EXCEPT_START" in prologue and "GET_AWAITABLE" in prologue:
            chosen.add(offset)
    return chosen


def async_with_bodies(code: CodeType) -> bytes:
    """Find the bodies of `async with` statements.

    Returns:
        Pairs of native uint32: start and end (exclusive), in the units of `f_lasti`.
    """
    regions = list(_regions(code))
    exits = _exit_handlers(code, {handler for _, _, handler in regions})

    def is_inside(handler: int) -> bool:
        # The table names only the innermost handler. That handler itself lies in the regions further out.
        for _ in regions:
            if handler in exits:
                return True
            outer = next((target for start, end, target in regions if start <= handler < end), None)
            if outer is None:
                return False
            handler = outer
        return False

    return b"".join(struct.pack("=II", start, end) for start, end, handler in regions if is_inside(handler))
