"""The text report's lines about tiers: the mode, accounts above Monitor or held back with reasons, and changes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from asyncio_pulse.metrics.model import TIER_NAMES, GroupMetrics, Report, StackFrame, TaskInfo, TierChange

from . import wording
from .wording import INDENT, WIDTH

__all__ = ["mode_lines", "sections"]

_MEANING = {"open": ", so it is only observed", "half-open": ", so it is parked again on trial"}

LIMIT = 10
"""Number of groups, tasks and changes of tier that are shown. The JSON report has more."""


def mode_lines(report: Report) -> list[str]:
    """Describe the modes of a process's loops and their effects."""
    modes = sorted({loop.mode for loop in report.loop_tiers})
    if not modes:
        return []
    lines = [f"mode {' and '.join(modes)}"]
    if report.metrics.would_park:
        lines[0] += f": {wording.plural(report.metrics.would_park, 'poll')} at Yield or above only observed"
    breakers = sum(loop.open_breakers for loop in report.loop_tiers)
    if breakers:
        lines.append(f"{wording.plural(breakers, 'circuit breaker')} open: parking made those groups wait too long")
    freezes = sum(loop.freezes for loop in report.loop_tiers)
    if freezes:
        now = ", and is now" if any(loop.promotion_frozen for loop in report.loop_tiers) else ""
        lines.append(
            f"promotion was frozen {wording.plural(freezes, 'time')}{now}: the machine was at fault, not a group"
        )
    return lines


def sections(report: Report) -> Iterator[tuple[str, list[list[str]]]]:
    """Describe accounts and changes of tier: every heading with content, and the lines of each of its records."""
    groups = sorted(
        (group for group in report.groups if group.tier_reason or group.breaker_trips), key=lambda group: -group.tier
    )
    accounts = [*_limited([_group_lines(group) for group in groups]), *_limited([_task_lines(t) for t in report.tasks])]
    changes = _limited([_change_lines(rank, change) for rank, change in enumerate(report.tier_changes, 1)])
    if accounts:
        yield "tiers: above Monitor now or earlier, or held back, and why", accounts
    if changes:
        yield "changes of tier, newest first", changes


def _limited(records: Sequence[list[str]]) -> list[list[str]]:
    hidden_count = len(records) - LIMIT
    more = [[f"{INDENT}and {wording.count(hidden_count)} more"]] if hidden_count > 0 else []
    return [*records[:LIMIT], *more]


def _group_lines(group: GroupMetrics) -> list[str]:
    start = f" {TIER_NAMES[group.tier]}: group "
    lines = [
        start + wording.shorten(wording.plain(group.name), WIDTH - len(start)),
        *wording.wrapped(group.tier_reason),
    ]
    if group.breaker_trips:
        lines += wording.wrapped(
            f"its circuit breaker is {group.breaker}{_MEANING.get(group.breaker, '')}; it opened "
            f"{wording.plural(group.breaker_trips, 'time')}, last after a wait of {group.breaker_wait_ms:,} ms"
        )
    return lines


def _task_lines(task: TaskInfo) -> list[str]:
    name = wording.shorten(wording.plain(task.name), WIDTH // 3)
    start = f" {TIER_NAMES[task.tier]}: task {name}, "
    coroutine = wording.shorten(wording.plain(task.coroutine), WIDTH - len(start))
    return [start + coroutine, *wording.wrapped(task.tier_reason)]


def _change_lines(rank: int, change: TierChange) -> list[str]:
    clock = time.strftime("%H:%M:%S", time.localtime(change.at_ns / 1e9))
    start = f"{rank:2}. {clock} {wording.plain(change.account):.9} "
    ending = f": {TIER_NAMES[change.before]} to {TIER_NAMES[change.after]}"
    ending += f", {wording.count(change.count)} times" if change.count > 1 else ""
    ending += "" if change.acted else " (only observed)"
    name = wording.shorten(wording.plain(change.name), WIDTH - len(start + ending))
    lines = [f"{start}{name}{ending}", *wording.wrapped(change.reason)]
    if change.wall_ns:
        poll = f"{INDENT}by a poll of {wording.duration(change.wall_ns)}, CPU {wording.duration(change.cpu_ns)}, "
        poll += "in " if change.stack else "somewhere in "
        lines.append(wording.located(poll, StackFrame(change.function, change.filename, change.line)))
    return lines
