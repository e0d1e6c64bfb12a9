"""The process report: the figures of every governed loop, including those of loops that are gone.

A loop's manager goes away with its loop, so the loop's figures are added up before. The memory for loops that are gone is
bounded, and so is the time to add one more, however many loops there were: `docs/bounds.md`.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable

from asyncio_pulse import _core
from asyncio_pulse.metrics.model import GroupMetrics, Report
from asyncio_pulse.runtime.afterwards import AFTERWARDS
from asyncio_pulse.runtime.group_values import group_values
from asyncio_pulse.runtime.lock import LOCK
from asyncio_pulse.runtime.manager import TierManager
from asyncio_pulse.runtime.sums import add_up

__all__ = ["managers", "process_report"]

MOST_UNFOLDED = 16
MOST_GROUPS = 1_024
"""Maximum number of groups kept for all loops that are gone: the default maximum of one loop.

Beyond it, the groups not seen for longest are added to `(other)`.
"""
UNBOUNDED = sys.maxsize


@dataclasses.dataclass(slots=True)
class _Ledger:
    folding: bool = False
    open: list[TierManager] = dataclasses.field(default_factory=list)
    # Reports of loops that are gone. Appended in one step, because a loop may be collected at any moment.
    left: list[Report] = dataclasses.field(default_factory=list)
    # Groups of these loops.
    groups: _core.GroupTotals = dataclasses.field(default_factory=lambda: _core.GroupTotals(MOST_GROUPS))


_ledger = _Ledger()


def managers() -> tuple[TierManager, ...]:
    """Return the managers of the loops that are governed now."""
    return tuple(_ledger.open)


def enter(manager: TierManager) -> None:
    """Add the manager of a newly governed loop."""
    with AFTERWARDS, LOCK:
        _ledger.open.append(manager)


def leave(manager: TierManager) -> None:
    """Add up a loop that is gone or no longer governed, and remove its manager."""
    with AFTERWARDS, LOCK:
        _ledger.open.remove(manager)
        report = manager._report()
        if not report.loops:
            return
        # The tasks are left out, because their tiers no longer matter, whatever becomes of them.
        _ledger.left.append(dataclasses.replace(report, tasks=()))
        _ledger.groups.add(manager.governor, False)
        if len(_ledger.left) > MOST_UNFOLDED:
            _fold()


def _fold() -> None:
    """Join the reports of loops that are gone into one."""
    if _ledger.folding or len(_ledger.left) < 2:
        return
    _ledger.folding = True
    try:
        count = len(_ledger.left)
        folded = add_up(_ledger.left[:count])
        # Reports that arrived meanwhile are behind these.
        _ledger.left[:count] = [folded]
    finally:
        _ledger.folding = False


def after_fork_in_child(open_managers: Iterable[TierManager] | None) -> None:
    """Drop the parent's figures, because the child reports only its own.

    Args:
        open_managers: Managers of the loops that are governed now; None if the forking thread is changing them.
    """
    _ledger.left.clear()
    _ledger.groups = _core.GroupTotals(MOST_GROUPS)
    if open_managers is not None:
        _ledger.folding = False
        _ledger.open[:] = open_managers


def process_report() -> Report:
    """Return all figures of this process. Any thread may call this.

    Returns:
        The report. Its `loops` counts governed loops that had a task, and loops whose mode is "off". A loop that a forked
        child inherited and never ran does not count.
    """
    with AFTERWARDS, LOCK:
        while True:
            managers = tuple(_ledger.open)
            report = _report_of(managers)
            # A loop that was collected or uninstalled meanwhile would count twice, as gone and as governed.
            if managers == tuple(_ledger.open):
                return report


def _report_of(managers: tuple[TierManager, ...]) -> Report:
    """Return the figures of the loops that are governed, and of all loops that are gone."""
    _fold()
    parts = [manager._report() for manager in managers]
    is_alone = len(parts) == 1 and parts[0].loops and not _ledger.left
    report = parts[0] if is_alone else add_up([*_ledger.left, *parts])
    # The groups are sorted already.
    groups = _groups_of([manager for manager, part in zip(managers, parts, strict=True) if part.loops])
    metrics = dataclasses.replace(report.metrics, groups=len(groups))
    return dataclasses.replace(report, metrics=metrics, groups=groups)


def _groups_of(managers: list[TierManager]) -> tuple[GroupMetrics, ...]:
    """Return the groups of the governed loops and of all loops that are gone."""
    if len(managers) == 1 and not _ledger.left:
        return managers[0].groups()
    totals = _core.GroupTotals(UNBOUNDED)
    totals.add(_ledger.groups, False)
    for manager in managers:
        totals.add(manager.governor, True)
    return group_values(totals.groups())
