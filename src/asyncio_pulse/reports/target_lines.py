"""The text report's lines about the latency target: whether it was kept, what broke it, and what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from asyncio_pulse.metrics.model import Report

from . import wording
from .advice import Remedy, remedies, remedy_of
from .breaches import Breach, breaches, worst_loop
from .wording import INDENT, WIDTH

__all__ = ["ADVICE_HEADING", "advice_section", "target_lines"]

ADVICE_HEADING = "what to do, in pulse.toml or in the code"

MOST_PLACES = 3


def target_lines(report: Report) -> list[str]:
    """Say whether the latency target was kept, how long ready callbacks waited, and which places broke it most."""
    loop = worst_loop(report)
    if loop is None:
        return []
    of_worker = f" (worker {loop.worker_id})" if len(report.loop_metrics) > 1 else ""
    kept = f"{100 * loop.kept_ratio:.1f} %" if loop.late_ns else "all"
    lines = [
        f"latency target {_target(loop.target_ns)}: kept {kept} of the time{of_worker}",
        f"{INDENT}ready callbacks waited p99 {wording.duration(loop.p99_lag_ns)}, "
        f"at most {wording.duration(loop.max_lag_ns)}",
    ]
    if loop.late_ns:
        for rank, breach in enumerate(breaches(report)[:MOST_PLACES], 1):
            lines += _breach_lines(rank, breach, remedy_of(report, breach))
    return lines


def _target(target_ns: int) -> str:
    return f"{round(target_ns / 1e6)} ms"


def _breach_lines(rank: int, breach: Breach, remedy: Remedy) -> Iterator[str]:
    group = wording.shorten(wording.plain(breach.record.group), WIDTH // 3)
    yield wording.located(f"{rank:2}. {wording.duration(breach.cost_ns)}, {group}: ", breach.where)
    yield wording.shorten(f"{INDENT}{breach.cause}", WIDTH)
    yield from _wrapped(remedy.action)


def advice_section(report: Report) -> list[list[str]]:
    """Describe the remedies, each with lines to paste and with what it is expected to give."""
    return [_remedy_lines(rank, remedy) for rank, remedy in enumerate(remedies(report), 1)]


def _remedy_lines(rank: int, remedy: Remedy) -> list[str]:
    breach = remedy.breach
    lines = [wording.located(f"{rank:2}. ", breach.where), *_wrapped(f"{breach.cause}: {remedy.action}")]
    paste = remedy.toml.splitlines() or [remedy.code] * bool(remedy.code)
    # Never shortened, because they are to be pasted.
    lines += [f"{INDENT * 2}{line}" for line in paste]
    return lines + _wrapped(f"expected: {remedy.expected}")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        wording.plain(text), WIDTH, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False
    )
