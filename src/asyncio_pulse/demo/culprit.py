"""Finds the function that held the event loop, from the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from asyncio_pulse.metrics.model import StackFrame, WorstPoll
from asyncio_pulse.reports.wording import headline

__all__ = ["Culprit", "find_culprit"]


@dataclasses.dataclass(frozen=True, slots=True)
class Culprit:
    """A function whose polls held the loop."""

    rank: int
    """Rank of its longest poll among the report's worst polls, from 1."""
    group: str
    place: StackFrame
    """The place where that poll was seen."""
    wall_ms: float
    """Wall time of that poll."""
    count: int
    """Number of its polls past their alarm."""
    total_ms: float
    """Total wall time of these polls."""


def find_culprit(worst_polls: Sequence[WorstPoll]) -> Culprit | None:
    """Find the function that held the loop for the longest total time.

    A poll that happens once, such as the import of the application inside uvicorn's first poll, may be the longest of all
    and still be harmless. The polls of a function therefore count together.

    Args:
        worst_polls: The report's list, most time first.

    Returns:
        The function, with the place of its longest poll; None for an empty list.
    """
    functions: dict[tuple[str, str], list[WorstPoll]] = {}
    for poll in worst_polls:
        place = headline(poll)
        functions.setdefault((place.function, place.filename), []).append(poll)
    if not functions:
        return None
    polls = max(functions.values(), key=lambda each: sum(poll.total_wall_ns for poll in each))
    longest = max(polls, key=lambda poll: poll.wall_ns)
    return Culprit(
        rank=worst_polls.index(longest) + 1,
        group=longest.group,
        place=headline(longest),
        wall_ms=longest.wall_ns / 1e6,
        count=sum(poll.count for poll in polls),
        total_ms=sum(poll.total_wall_ns for poll in polls) / 1e6,
    )
