"""The places that kept the loop from its latency target, most time first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from asyncio_pulse.metrics.model import STALL_WORDS, LoopMetrics, Report, StackFrame, Stall, WorstPoll

from . import wording
from .counterparts import counterpart

__all__ = ["Breach", "breaches", "worst_loop"]

_WORDS = {**STALL_WORDS, "off-cpu": "blocked in a call, or without a processor"}


@dataclasses.dataclass(frozen=True, slots=True)
class Breach:
    """All stalls or long polls of one kind at one place."""

    record: Stall | WorstPoll
    stall_class: str
    """A class of `Stall`, or `off-cpu`: a poll that was no stall, and did not compute for most of its time."""
    cost_ns: int
    """What it took from others, estimated: the total of its stalls, or of its polls beyond the target."""

    @property
    def where(self) -> StackFrame:
        """The most informative frame."""
        return wording.headline(self.record)

    @property
    def cause(self) -> str:
        """What kept the loop, how often and for how long, in a few words."""
        record = self.record
        words = _WORDS.get(self.stall_class, wording.plain(self.stall_class))
        if record.count == 1:
            return f"{words}, for {wording.duration(record.wall_ns)}"
        longest, total = wording.duration(record.wall_ns), wording.duration(record.total_wall_ns)
        return f"{words}, {wording.plural(record.count, 'time')}, up to {longest}, {total} in all"


def worst_loop(report: Report) -> LoopMetrics | None:
    """Return the watched loop that kept its target least; None if no loop was watched."""
    watched = [loop for loop in report.loop_metrics if loop.watched and loop.target_ns]
    return min(watched, key=lambda loop: loop.kept_ratio, default=None)


def breaches(report: Report) -> list[Breach]:
    """Return the places where the target was broken, most time first."""
    loop = worst_loop(report)
    if loop is None:
        return []
    stalls = [Breach(stall, stall.stall_class, stall.total_wall_ns) for stall in report.stalls]
    seen = {(breach.record.group, breach.where) for breach in stalls}
    polls = (
        breach for breach in _long_polls(report, loop.target_ns) if (breach.record.group, breach.where) not in seen
    )
    return sorted(_with_unseen([*stalls, *polls]), key=lambda breach: -breach.cost_ns)


def _with_unseen(found: Sequence[Breach]) -> list[Breach]:
    """Count those that were not seen while they lasted with one that was seen, of the same group and kind."""
    seen = {_kind(breach): breach for breach in reversed(found) if breach.record.sampled}
    more_ns = dict.fromkeys(seen, 0)
    alone: list[Breach] = []
    for breach in found:
        if not breach.record.sampled and _kind(breach) in seen:
            more_ns[_kind(breach)] += breach.cost_ns
        elif breach is not seen.get(_kind(breach)):
            alone.append(breach)
    joined = (dataclasses.replace(each, cost_ns=each.cost_ns + more_ns[kind]) for kind, each in seen.items())
    return [*alone, *joined]


def _kind(breach: Breach) -> tuple[str, str]:
    return breach.record.group, "blocked" if breach.stall_class == "off-cpu" else breach.stall_class


def _long_polls(report: Report, target_ns: int) -> Iterator[Breach]:
    for poll in report.worst_polls:
        if poll.wall_ns <= target_ns:
            continue
        computed = (poll.cpu_ns - poll.gc_ns) * 2 >= poll.wall_ns
        collected = poll.gc_ns * 2 >= poll.wall_ns
        # Most polls at a place may be shorter than its longest.
        are_long = poll.total_wall_ns > poll.count * target_ns
        cost_ns = poll.total_wall_ns if are_long else poll.wall_ns
        blocked = counterpart(poll.stack) != ""
        kind = "collecting" if collected else "on-cpu" if computed else "blocked" if blocked else "off-cpu"
        yield Breach(poll, kind, cost_ns)
