"""More than a hundred tasks at once coordinate while offenders among them are parked and left in the middle."""

from __future__ import annotations

import asyncio

import asyncio_pulse as pulse
from tests.isolated.measuring import rounds
from tests.stress.behaviours import config, mixed
from tests.stress.books import check_groups
from tests.stress.census import unchanged
from tests.stress.figures import Figures
from tests.stress.loops import governed
from tests.support.loops import LoopFactory
from tests.support.offenders import burn
from tests.support.primitives import Primitives

STEPS = rounds(short=4, long=200)
COORDINATING = 60
MIXED = 60


async def coordinate(shared: Primitives, number: int) -> None:
    for step in range(STEPS):
        if (number + step) % 4 == 0:
            burn(500)
        await shared.work()


async def coordinating(shared: Primitives) -> None:
    # By their own budgets some offend often, others seldom; each third may be left in the middle of its code.
    tasks = [
        pulse.spawn(coordinate(shared, number), group=f"group {number % 5}", preemptible=number % 3 == 0)
        for number in range(COORDINATING)
    ]
    tasks += [pulse.spawn(coro, group=group) for group, coro in mixed(MIXED, STEPS)]
    await asyncio.gather(*tasks)


def run_coordinating(make_loop: LoopFactory) -> None:
    figures, shared = Figures(), Primitives()
    with governed(make_loop, config()) as (runner, manager):
        runner.run(coordinating(shared))
    shared.check_end()
    assert shared.got == COORDINATING * STEPS * Primitives.ITEMS
    check_groups(manager)
    figures.add(manager)
    assert figures.parked > 0
    figures.print(f"{COORDINATING + MIXED} tasks under high load, coordinating")


def test_tasks_coordinate_while_some_are_parked_and_left_in_the_middle(loop_factory: LoopFactory) -> None:
    run_coordinating(loop_factory)
    with unchanged():
        run_coordinating(loop_factory)
