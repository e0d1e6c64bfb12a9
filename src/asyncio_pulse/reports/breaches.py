"""The places that kept the loop from its latency target, most time first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from asyncio_pulse.metrics.model import STALL_WORDS, LoopMetrics, Report, StackFrame, Stall, WorstPoll

from . import wording
from .counterparts import counterpart, package_of, starts_thread

__all__ = ["Breach", "breaches", "worst_loop"]

_WORDS = {**STALL_WORDS, "off-cpu": "blocked in a call, or lacked a processor"}
_OFF_CPU = ("blocked", "gil", "processor", "unknown")
_SERVERS = {"uvicorn", "hypercorn", "gunicorn", "granian", "daphne"}
LONG = 1.25
"""Polls that exceed the target by less are no reason to change a program."""


@dataclasses.dataclass(frozen=True, slots=True)
class Breach:
    """All long polls, or stalls outside of polls, of one kind and group in one function."""

    record: Stall | WorstPoll
    """The one with the longest total."""
    stall_class: str
    """A class of `Stall`, or `off-cpu`: not computing, for a reason that was not seen."""
    cost_ns: int
    """Their total time. Of polls at one place that are mostly short, only the longest counts."""
    count: int
    longest_ns: int

    @property
    def where(self) -> StackFrame:
        """The most informative frame."""
        return wording.headline(self.record)

    @property
    def cause(self) -> str:
        """What kept the loop, how often and for how long, in a few words."""
        words = _WORDS.get(self.stall_class, wording.plain(self.stall_class))
        longest = wording.duration(self.longest_ns)
        if self.count == 1:
            return f"{words}, for {longest}"
        times = wording.plural(self.count, "time")
        return f"{words}, {times}, up to {longest}, {wording.duration(self.cost_ns)} in all"


def worst_loop(report: Report) -> LoopMetrics | None:
    """Return the watched loop that kept its target least; None if no loop was watched."""
    watched = [loop for loop in report.loop_metrics if loop.watched and loop.target_ns]
    return min(watched, key=lambda loop: loop.kept_ratio, default=None)


def breaches(report: Report) -> list[Breach]:
    """Return the places where the target was broken, most time first.

    Each poll counts once. Stalls say why polls of their group were off the CPU, and count where no poll was long.
    """
    loop = worst_loop(report)
    if loop is None:
        return []
    polls = [poll for poll in report.worst_polls if poll.wall_ns > LONG * loop.target_ns]
    polled = {poll.group for poll in polls}
    found = [_of_poll(poll, _class_of(poll, report), loop.target_ns) for poll in polls]
    found += [_of_stall(stall) for stall in report.stalls if stall.group not in polled]
    joined = _with_unseen(_by_function(breach for breach in found if not _is_start(breach)))
    return sorted(joined, key=lambda breach: -breach.cost_ns)


def _of_stall(stall: Stall) -> Breach:
    kind = "importing" if _imports(stall) else stall.stall_class
    return Breach(stall, kind, stall.total_wall_ns, stall.count, stall.wall_ns)


def _of_poll(poll: WorstPoll, kind: str, target_ns: int) -> Breach:
    if poll.total_wall_ns > poll.count * target_ns:
        return Breach(poll, kind, poll.total_wall_ns, poll.count, poll.wall_ns)
    return Breach(poll, kind, poll.wall_ns, 1, poll.wall_ns)


def _class_of(poll: WorstPoll, report: Report) -> str:
    if _collects(poll, report):
        return "collecting"
    if _imports(poll):
        return "importing"
    if poll.cpu_ns * 2 >= poll.wall_ns:
        return "on-cpu"
    seen = [stall for stall in report.stalls if stall.group == poll.group and stall.stall_class in _OFF_CPU]
    here = [stall for stall in seen if wording.headline(stall) == wording.headline(poll)]
    for stall in sorted(here or seen, key=lambda stall: -stall.total_wall_ns):
        return stall.stall_class
    return _class_unseen(poll, report)


def _collects(poll: WorstPoll, report: Report) -> bool:
    """Whether garbage collections are most of a place's time. The longest poll alone does not speak for the others."""
    if poll.gc_ns * 2 < poll.wall_ns:
        return False
    # A report that was not kept whole may lack the group.
    group = next((group for group in report.groups if group.name == poll.group and group.wall_time_ns), None)
    return poll.count == 1 or group is None or group.gc_time_ns * 2 >= group.wall_time_ns


def _class_unseen(poll: WorstPoll, report: Report) -> str:
    """Return why a poll was off the CPU that the watchdog did not see."""
    if starts_thread(poll.stack):
        return "gil"
    if counterpart(poll.stack):
        return "blocked"
    # What blocks for long is seen. Shorter waits are for the GIL where other threads were seen to keep it.
    has_gil = any(stall.stall_class == "gil" for stall in report.stalls)
    return "gil" if has_gil and not poll.sampled else "off-cpu"


def _imports(record: Stall | WorstPoll) -> bool:
    return any(frame.filename.startswith("<frozen importlib") for frame in record.stack)


def _is_start(breach: Breach) -> bool:
    """Whether a server imports its application. It does so once, before it serves anybody."""
    packages = {package_of(frame.filename) for frame in breach.record.stack}
    return breach.stall_class == "importing" and not packages.isdisjoint(_SERVERS)


def _by_function(found: Iterable[Breach]) -> list[Breach]:
    """Join those of one kind and group at several lines of one function."""
    by_function: dict[object, Breach] = {}
    for breach in found:
        where = breach.where
        key = (breach.record.group, breach.stall_class, where.function, where.filename, breach.record.sampled)
        by_function[key] = _join(by_function[key], breach) if key in by_function else breach
    return list(by_function.values())


def _join(one: Breach, other: Breach) -> Breach:
    larger = one if one.cost_ns >= other.cost_ns else other
    longest_ns = max(one.longest_ns, other.longest_ns)
    return Breach(larger.record, larger.stall_class, one.cost_ns + other.cost_ns, one.count + other.count, longest_ns)


def _with_unseen(found: list[Breach]) -> list[Breach]:
    """Count those that were not seen while they lasted with the longest of their group and kind that was seen."""
    seen: dict[object, Breach] = {}
    for breach in sorted(found, key=lambda breach: -breach.cost_ns):
        if breach.record.sampled:
            seen.setdefault(_kind(breach), breach)
    known = dict(seen)
    alone: list[Breach] = []
    for breach in found:
        kind = _kind(breach)
        if not breach.record.sampled and kind in known:
            larger = dataclasses.replace(breach, record=known[kind].record, stall_class=known[kind].stall_class)
            known[kind] = _join(known[kind], larger)
        elif breach is not seen.get(kind):
            alone.append(breach)
    return [*alone, *known.values()]


def _kind(breach: Breach) -> tuple[str, bool]:
    return breach.record.group, breach.stall_class in ("on-cpu", "collecting")
