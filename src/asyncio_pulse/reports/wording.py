"""Formats quantities, names and places for reports: short, with units, and safe for a terminal."""

from __future__ import annotations

import contextlib
import os
import textwrap
from collections.abc import Sequence

from asyncio_pulse.metrics.code_places import PACKAGE_DIRECTORIES, STANDARD_LIBRARY, is_standard
from asyncio_pulse.metrics.model import StackFrame, Stall, WorstPoll

__all__ = [
    "INDENT",
    "REFUSALS",
    "WIDTH",
    "collapse_recursion",
    "count",
    "duration",
    "headline",
    "located",
    "place",
    "plain",
    "plural",
    "share",
    "shorten",
    "wrapped",
]

REFUSALS = {
    "instruction": (
        "inside one long instruction, such as a call of C code",
        "use smaller calls, or run it in another process",
    ),
    "c_code": (
        "C code called what ran, such as sort(key=...) or sum(...)",
        'write a loop; for generators set preempt_through_c = "iteration"',
    ),
    "critical": ("inside `with`, or code that acquires a lock", "compute outside of it"),
    "module": ("its module did not opt in", "add its package to preemptible_modules"),
    "guarded": ("inside no_preempt()", "guard less of it"),
    "traced": ("a debugger or profiler is active", "nothing is preempted under one"),
    "greenlet": ("a greenlet of another library ran", "compute outside of it"),
}
"""Why a task was not preempted, by rule, and advice."""

WIDTH = 79  # a terminal of 80 columns may break a line of 80
INDENT = " " * 4


def duration(ns: int) -> str:
    """Format a duration, in at most 7 characters with two or three significant digits.

    >>> [duration(ns) for ns in (0, 840, 1_234, 34_000, 999_999, 612_000_000, 999_600_000, 12_300_000_000)]
    ['0', '840 ns', '1.2 us', '34 us', '1.0 ms', '612 ms', '1.0 s', '12 s']
    """
    if ns == 0:
        return "0"
    # The next unit takes over where this one would round up to four digits.
    for limit_ns, unit_ns, unit in ((999.5, 1, "ns"), (999.5e3, 1e3, "us"), (999.5e6, 1e6, "ms"), (999.5e9, 1e9, "s")):
        if ns < limit_ns:
            amount = ns / unit_ns
            return f"{amount:.1f} {unit}" if amount < 9.95 and unit_ns > 1 else f"{amount:.0f} {unit}"
    minutes = ns / 60e9
    return f"{minutes:.0f} min" if minutes < 999.5 else f"{minutes / 60:.0f} h"


def count(number: int, width: int = 9) -> str:
    """Format a number, in at most `width` characters (at least 5).

    >>> count(1234567), count(12345678), count(1234567, 5)
    ('1,234,567', '12,346 k', '1.2 M')
    """
    text = f"{number:,}"
    for divisor, suffix in ((1e3, " k"), (1e6, " M"), (1e9, " G"), (1e12, " T")):
        if len(text) <= width:
            break
        amount = number / divisor
        text = f"{amount:.1f}{suffix}" if amount < 9.95 else f"{amount:,.0f}{suffix}"
    return text


def plural(number: int, noun: str) -> str:
    """Format a number of things with their noun.

    >>> plural(1, "loop"), plural(1200, "poll")
    ('1 loop', '1,200 polls')
    """
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def share(part: float, whole: float) -> str:
    """Format a part of a whole in per cent.

    >>> share(1, 3), share(1, 1000), share(0, 5), share(1, 0)
    ('33 %', '0.1 %', '0 %', '0 %')
    """
    percent = 100 * part / whole if whole else 0.0
    return f"{percent:.1f} %" if 0 < percent < 9.95 else f"{percent:.0f} %"


def plain(name: str) -> str:
    r"""Make a user's name safe for one line of a terminal. Control characters are shown, not sent.

    >>> plain("tenant\n\x1b[31m")
    'tenant\\n\\x1b[31m'
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in name)


def shorten(text: str, width: int) -> str:
    """Cut the middle out of a text that is too long, because both ends of a name or a path are informative.

    >>> shorten("app.handlers.reports.generate", 20), shorten("short", 20)
    ('app.handl...generate', 'short')
    """
    if len(text) <= width:
        return text
    head = (width - 2) // 2
    return f"{text[:head]}...{text[len(text) - (width - 3 - head) :]}"


def place(filename: str, line: int, width: int) -> str:
    """Format a place in the source, relative to the working directory, its package or the standard library if possible."""
    for directory in PACKAGE_DIRECTORIES:
        _, found, inside = filename.rpartition(f"{os.sep}{directory}{os.sep}")
        if found:
            return shorten(f"{plain(inside)}:{line}", width)
    filename = filename.removeprefix(STANDARD_LIBRARY)
    with contextlib.suppress(FileNotFoundError):  # the working directory was removed
        filename = filename.removeprefix(os.getcwd() + os.sep)
    return shorten(f"{plain(filename)}:{line}", width)


def located(start: str, frame: StackFrame, ending: str = "") -> str:
    """Format a line about a place: `start`, function, file and line, `ending`."""
    room = WIDTH - len(start + ending)
    if not frame.filename:
        # The event loop itself has no place in the source.
        return f"{start}{shorten(plain(frame.function), room)}{ending}"
    function = shorten(plain(frame.function), room // 2)
    return f"{start}{function}, {place(frame.filename, frame.line, room - len(function) - 2)}{ending}"


def wrapped(sentence: str) -> list[str]:
    """Wrap a sentence into indented lines, without leaving anything out."""
    return [INDENT + line for line in textwrap.wrap(plain(sentence), WIDTH - len(INDENT))]


def headline(poll: WorstPoll | Stall) -> StackFrame:
    """Return the most informative frame: the innermost one outside the standard library, else the innermost one."""
    for frame in poll.stack:
        if not is_standard(frame.filename):
            return frame
    return StackFrame(poll.function, poll.filename, poll.line)


def collapse_recursion(stack: Sequence[StackFrame]) -> list[tuple[StackFrame, int]]:
    """Merge direct recursion: each function with its innermost frame and the number of its frames."""
    frames: list[tuple[StackFrame, int]] = []
    for frame in stack:
        if frames and (frames[-1][0].function, frames[-1][0].filename) == (frame.function, frame.filename):
            frames[-1] = (frames[-1][0], frames[-1][1] + 1)
        else:
            frames.append((frame, 1))
    return frames
