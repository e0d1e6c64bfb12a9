"""Chooses which places of polls and stalls are kept and shown: most time first, with a limit per group."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from asyncio_pulse.metrics.model import Stall, WorstPoll

__all__ = ["by_time", "choose"]

Placed = TypeVar("Placed", WorstPoll, Stall)


def by_time(records: Iterable[Placed]) -> list[Placed]:
    """Sort places by total time, then by their longest poll or stall, both descending."""
    return sorted(records, key=lambda record: (-record.total_wall_ns, -record.wall_ns))


def choose(records: Iterable[Placed], most: int, most_of_group: int) -> tuple[Placed, ...]:
    """Choose the places with most time, without letting one group fill the list.

    Args:
        records: Places, in any order.
        most: Number of places to choose, >= 0.
        most_of_group: Limit per group while other groups still have places, >= 1.

    Returns:
        The chosen places, most time first.
    """
    early: list[Placed] = []
    late: list[Placed] = []
    of_group: dict[str, int] = {}
    for record in by_time(records):
        number = of_group[record.group] = of_group.get(record.group, 0) + 1
        (early if number <= most_of_group else late).append(record)
    chosen: list[Placed] = (early + late)[:most]
    return tuple(by_time(chosen))
