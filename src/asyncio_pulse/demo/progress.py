"""A progress line: redrawn in a terminal, and one line a quarter of the way elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType

__all__ = ["Progress"]

WIDTH = 24


class Progress:
    """Shows on stderr how much of a phase is over."""

    def __init__(self, name: str, seconds: float) -> None:
        """Show nothing before the first `show`."""
        self._name = name
        self._seconds = seconds
        self._quarters = -1

    def __enter__(self) -> Progress:
        """Nothing to prepare."""
        return self

    def show(self, elapsed_s: float) -> None:
        """Say that so many seconds are over."""
        ratio = min(1.0, elapsed_s / self._seconds)
        text = f"{self._name:30} {elapsed_s:5.1f} of {self._seconds:g} s"
        if sys.stderr.isatty():
            done = round(ratio * WIDTH)
            print(f"\r{text} [{'#' * done}{'.' * (WIDTH - done)}]", end="", file=sys.stderr, flush=True)
        elif int(ratio * 4) > self._quarters:
            self._quarters = int(ratio * 4)
            print(text, file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the line."""
        if sys.stderr.isatty():
            print(file=sys.stderr)
