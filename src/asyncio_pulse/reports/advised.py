"""A configuration with the advice of a run, to be reviewed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from asyncio_pulse.metrics.model import Report

from . import wording
from .advice import Remedy, remedies, toml_of

__all__ = ["advised_configuration"]

WIDTH = 100
HEADER = """\
# Advice of asyncio-pulse. Review it, then add it to pulse.toml, or use it alone:
#     asyncio-pulse run --config THIS_FILE PROGRAM
"""


def advised_configuration(reports: Sequence[Report]) -> str:
    """Return the remedies of all processes as a configuration. What must be changed in the code stands in its comments."""
    chosen = [remedy for report in reports for remedy in remedies(report)]
    settings = [remedy for remedy in chosen if remedy.toml]
    others = [remedy for remedy in chosen if not remedy.toml]
    lines = (
        [HEADER]
        if chosen
        else [HEADER, "# Nothing was measured, or the latency target was kept, or nothing is known that would help."]
    )
    lines += map(_comment, settings)
    if settings:
        lines.append(toml_of(settings))
    if others:
        lines.append("\n# Not in this file:")
    for remedy in others:
        lines.append(_comment(remedy))
        if remedy.code:
            lines.append(f"#     {wording.plain(remedy.code)}")
    return "\n".join(lines) + "\n"


def _comment(remedy: Remedy) -> str:
    breach = remedy.breach
    where = breach.where
    place = f", {wording.place(where.filename, where.line, WIDTH)}" if where.filename else ""
    text = f"{where.function}{place}: {breach.cause}. To do: {remedy.action}. Expected: {remedy.expected}."
    return textwrap.fill(
        wording.plain(text), WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )
