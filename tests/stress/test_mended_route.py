"""The real numbers of a route that burns and is mended, with the defaults; `-s` shows them."""

from __future__ import annotations

import asyncio
import time

import pytest

import asyncio_pulse as pulse
from tests.isolated.measuring import STRESS
from tests.support.loops import LoopFactory
from tests.support.traffic import arrive, burn, polls_of

pytestmark = pytest.mark.skipif(not STRESS, reason="half a minute for each loop: make stress")

LOAD_S, MENDED_S = 3, 30
OTHERS = ("GET /small", "GET /fast", "GET /light")


async def sometimes(number: int) -> None:
    """Burn 200 ms in one request in ten."""
    if number % 10 == 0:
        burn(200)


async def serve() -> None:
    fine = [arrive(polls_of(0.1), name, per_second=20, seconds=LOAD_S + MENDED_S) for name in OTHERS]
    load = asyncio.gather(*fine)
    await arrive(sometimes, "GET /report", per_second=50, seconds=LOAD_S)
    mended.append(time.time_ns())
    await arrive(polls_of(0), "GET /report", per_second=50, seconds=MENDED_S)
    await load


mended: list[int] = []


def test_yield_within_two_seconds_and_monitor_within_thirty(loop_factory: LoopFactory) -> None:
    mended.clear()
    managers = []

    async def main() -> None:
        managers.append(pulse.get_manager())
        await serve()

    begun = time.time_ns()
    pulse.run(main(), loop_factory=loop_factory)
    changes = [change for change in managers[0].audit() if change.account == "group"]
    for change in changes:
        print(f"{(change.at_ns - begun) / 1e9:6.2f} s: {change}")
    print(f"{(mended[0] - begun) / 1e9:6.2f} s: mended")
    assert {change.name for change in changes} == {"GET /report"}
    reached = next(change for change in changes if change.after == 2)
    assert reached.at_ns - begun < 2e9
    assert changes[-1].after == 0
    assert changes[-1].at_ns - mended[0] < 30e9
