"""The bounded list of places of a loop: no group and no long poll keeps the others out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import asyncio_pulse as pulse
from tests.support.loops import LoopFactory
from tests.support.traffic import burn

Offender = Callable[[], Coroutine[None, None, None]]
PLACES = 64
OF_ONE_GROUP = 8


def offender(name: str, ms: float) -> Offender:
    """Make a coroutine function of that name; polls that nobody sees running have it as their place."""

    async def offend() -> None:
        burn(ms)

    offend.__qualname__ = name
    return offend


def places_after(loop_factory: LoopFactory, *offenders: tuple[str, Offender]) -> list[tuple[str, str]]:
    async def main() -> list[tuple[str, str]]:
        for group, offend in offenders:
            await pulse.spawn(offend(), group=group)
        await asyncio.sleep(0)
        return [(poll.group, poll.function) for poll in pulse.get_manager().report().worst_polls]

    return pulse.run(main(), config=pulse.TierConfig(mode="observe"), loop_factory=loop_factory)


def test_a_group_of_many_places_hides_no_other(loop_factory: LoopFactory) -> None:
    scattered = [("GET /report", offender(f"field_{number}", 4)) for number in range(PLACES + 4)]
    seen = places_after(loop_factory, *scattered, ("POST /login", offender("login", 3)))
    assert ("POST /login", "login") in seen
    assert sum(group == "GET /report" for group, _ in seen) == OF_ONE_GROUP


def test_many_short_polls_come_in_where_all_places_are_taken_by_longer_ones(loop_factory: LoopFactory) -> None:
    taken = [(f"group {number}", offender("once", 6)) for number in range(PLACES + 2)]
    often = [("often", offender("often", 3))] * 5
    seen = places_after(loop_factory, *taken, *often)
    assert len(seen) == PLACES
    assert ("often", "often") in seen
