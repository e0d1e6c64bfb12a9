"""What a kept report says of the latency target: whether it was kept, what broke it, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from asyncio_pulse.metrics.model import Report

from .target_lines import ADVICE_HEADING, advice_section, target_lines
from .text import process_lines

__all__ = ["format_diagnosis"]


def format_diagnosis(reports: Sequence[Report]) -> str:
    """Format the diagnosis of a run, process by process; lines of at most 79 characters, except lines to paste."""
    if not reports:
        return "nothing was measured: no event loop ran, or the mode was off"
    return "\n\n".join("\n".join(_lines(report)) for report in reports)


def _lines(report: Report) -> list[str]:
    name = process_lines(report)[0]
    kept = target_lines(report) or ["the latency target is not known: the turns of no loop were watched"]
    advice = [line for record in advice_section(report) for line in record]
    return [name, *kept, *(["", ADVICE_HEADING, *advice] if advice else [])]
