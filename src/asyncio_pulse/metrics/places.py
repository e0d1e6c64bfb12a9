"""Which places of polls and stalls are kept and shown: those with most time, and a few of each group at most."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from asyncio_pulse.metrics.model import Stall, WorstPoll

__all__ = ["by_time", "choose"]

Placed = TypeVar("Placed", WorstPoll, Stall)


def by_time(records: Iterable[Placed]) -> list[Placed]:
    """Order places: most time in all first, then the longest."""
    return sorted(records, key=lambda record: (-record.total_wall_ns, -record.wall_ns))


def choose(records: Iterable[Placed], most: int, most_of_group: int) -> tuple[Placed, ...]:
    """Choose the places with most time, so that no group fills the list while others wait.

    Args:
        records: Places, in any order.
        most: How many to choose, >= 0.
        most_of_group: How many of one group, as long as places of other groups are left, >= 1.

    Returns:
        Them, most time first.
    """
    early: list[Placed] = []
    late: list[Placed] = []
    of_group: dict[str, int] = {}
    for record in by_time(records):
        number = of_group[record.group] = of_group.get(record.group, 0) + 1
        (early if number <= most_of_group else late).append(record)
    chosen: list[Placed] = (early + late)[:most]
    return tuple(by_time(chosen))
