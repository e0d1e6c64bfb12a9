"""Joins the reports of many processes into few sections, so that a server that renews its workers takes one line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from asyncio_pulse.metrics.model import GroupMetrics, LoopTiers, Report
from asyncio_pulse.runtime.sums import add_up, sum_group

__all__ = ["merge_processes"]

MOST_SECTIONS = 32
MOST_PIDS = 32
MOST_GROUPS = 1000
OTHER_COMMANDS = ("(other command lines)",)
OTHER_GROUPS = "(other)"
"""This is also the core's name for groups beyond its bound."""


def merge_processes(reports: Iterable[Report]) -> list[Report]:
    """Join the reports of all processes with the same command line.

    Args:
        reports: Reports of single processes, or results of this function, in any number.

    Returns:
        At most 33 reports, in the order in which their command lines first came. Beyond 32 command lines, those with the
        least wall time share the last report.
    """
    by_command: dict[tuple[str, ...], list[Report]] = {}
    for report in reports:
        by_command.setdefault(_command_of(report), []).append(report)
    others = by_command.pop(OTHER_COMMANDS, [])
    merged = [_merge(same) for same in by_command.values()]
    if len(merged) > MOST_SECTIONS:
        longest = sorted(merged, key=lambda report: -report.metrics.wall_time_ns)
        others += longest[MOST_SECTIONS:]
        kept = {id(report) for report in longest[:MOST_SECTIONS]}
        merged = [report for report in merged if id(report) in kept]
    return [*merged, dataclasses.replace(_merge(others), argv=OTHER_COMMANDS)] if others else merged


def _command_of(report: Report) -> tuple[str, ...]:
    # multiprocessing gives every child the numbers of its own pipes: `spawn_main(tracker_fd=5, pipe_handle=7)`.
    return tuple(
        re.sub(r"\d+", "", argument) if "multiprocessing" in argument else argument for argument in report.argv
    )


def _merge(same: Sequence[Report]) -> Report:
    first = same[0]
    if len(same) == 1:
        return first
    added = add_up(same)
    groups = _bounded(added.groups)
    # Within one process every loop reports the faults of the whole process.
    faults = sum(report.metrics.internal_errors for report in same)
    pids = [pid for report in same for pid in (report.pids or (report.pid,))]
    return dataclasses.replace(
        added,
        pid=first.pid,
        argv=first.argv,
        python=first.python,
        clock=first.clock,
        groups=groups,
        loop_tiers=tuple(_of_all_processes(loop, same) for loop in added.loop_tiers),
        metrics=dataclasses.replace(added.metrics, groups=len(groups), internal_errors=faults),
        processes=sum(report.processes for report in same),
        pids=tuple(pids[:MOST_PIDS]),
    )


def _of_all_processes(latest: LoopTiers, same: Sequence[Report]) -> LoopTiers:
    """Join the present states of loops with the same number. Within one process only the latest of them counts."""
    loops = [loop for report in same for loop in report.loop_tiers if loop.worker_id == latest.worker_id]
    return dataclasses.replace(
        latest,
        promotion_frozen=any(loop.promotion_frozen for loop in loops),
        open_breakers=sum(loop.open_breakers for loop in loops),
    )


def _bounded(groups: tuple[GroupMetrics, ...]) -> tuple[GroupMetrics, ...]:
    if len(groups) <= MOST_GROUPS:
        return groups
    named = [group for group in groups if group.name != OTHER_GROUPS]
    kept = named[: MOST_GROUPS - 1]
    rest = [group for group in groups if group.name == OTHER_GROUPS] + named[MOST_GROUPS - 1 :]
    return (*kept, dataclasses.replace(sum_group(rest), name=OTHER_GROUPS, explicit=False))
