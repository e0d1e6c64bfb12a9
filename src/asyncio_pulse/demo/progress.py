"""A progress line: redrawn in a terminal; elsewhere one line per quarter of the phase."""

from __future__ import annotations

import sys
from types import TracebackType

__all__ = ["Progress"]

WIDTH = 24


class Progress:
    """Shows on stderr how far a phase has come."""

    def __init__(self, name: str, seconds: float) -> None:
        """Prepare; nothing is shown before the first `show`."""
        self._name = name
        self._seconds = seconds
        self._quarters = -1

    def __enter__(self) -> Progress:
        """Return itself."""
        return self

    def show(self, elapsed_s: float) -> None:
        """Show the elapsed time."""
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
        """End the line."""
        if sys.stderr.isatty():
            print(file=sys.stderr)
