"""Heavy tasks neither starve light ones nor are starved themselves, and wait by their priority."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse.config import InterventionAction, SchedulingAlgorithm, SlowQueueConfig
from asyncio_pulse.lowlevel import PreemptionHooks
from asyncio_pulse.metrics import TierChange
from tests.isolated.measuring import rounds
from tests.stress.books import Books
from tests.stress.census import unchanged
from tests.stress.figures import Figures
from tests.stress.loops import governed
from tests.support.loops import LoopFactory
from tests.support.offenders import burn, strict_config

HEAVY, LIGHT = 12, 50
HEAVY_STEPS = rounds(short=100, long=3_000)
LEAST_GAIN = 3.0


async def compute(steps: Counter[str], name: str, most: int, total: str) -> None:
    while steps[total] < most:
        burn(1_000)
        steps[name] += 1
        steps[total] += 1
        await asyncio.sleep(0)


async def step_on(steps: Counter[str], name: str) -> None:
    while steps["heavy"] < HEAVY_STEPS:
        steps[name] += 1
        await asyncio.sleep(0)


async def light_beside_heavy(books: Books, steps: Counter[str]) -> None:
    books.enter(asyncio.current_task())
    heavy = [
        books.spawn(compute(steps, f"heavy {number}", HEAVY_STEPS, "heavy"), group="heavy") for number in range(HEAVY)
    ]
    light = [books.spawn(step_on(steps, f"light {number}"), group="light") for number in range(LIGHT)]
    await asyncio.gather(*heavy, *light)


def fewest_light_steps(make_loop: LoopFactory, mode: str) -> int:
    """Count what the last of the light ones came to while the heavy ones did a fixed amount."""
    figures, books, steps = Figures(), Books(), Counter[str]()
    # Light polls are cut by the machine now and then; only the heavy ones must be taken for offenders.
    config = strict_config(mode=mode, groups={"light": pulse.GroupPolicy(exempt=True)})
    with governed(make_loop, config) as (runner, manager):
        runner.run(light_beside_heavy(books, steps))
    books.check(manager)
    figures.add(manager)
    figures.print(f"{HEAVY} heavy tasks and {LIGHT} light ones, {mode}")
    heavy = [steps[f"heavy {number}"] for number in range(HEAVY)]
    assert min(heavy) >= max(heavy) / 3, f"a heavy task was starved: {heavy}"
    return min(steps[f"light {number}"] for number in range(LIGHT))


def test_light_tasks_come_further_and_no_heavy_one_starves(loop_factory: LoopFactory) -> None:
    fewest_light_steps(loop_factory, "act")
    with unchanged():
        observed = fewest_light_steps(loop_factory, "observe")
        acted = fewest_light_steps(loop_factory, "act")
    print(f"steps of the last light task: {acted}, only observed {observed}")
    assert acted >= LEAST_GAIN * observed


PRIORITIES = (pulse.TaskPriority.HIGH, pulse.TaskPriority.NORMAL, pulse.TaskPriority.LOW)
TASKS_EACH = 20
ALL_STEPS = rounds(short=400, long=8_000)
MOST_BEFORE = 2_000


async def compete(books: Books, steps: Counter[str], most: int) -> None:
    books.enter(asyncio.current_task())
    work = [
        books.spawn(compute(steps, priority.name, most, "all"), group=priority.name, priority=priority)
        for _ in range(TASKS_EACH)
        for priority in PRIORITIES
    ]
    await asyncio.gather(*work)


class FromAllHeld(PreemptionHooks):
    """Counts the steps anew once every priority is held: before, somebody is still served as a plain task is."""

    def __init__(self, steps: Counter[str]) -> None:
        """Nobody is held."""
        self._steps, self._held = steps, set[str]()
        steps["all"] = -MOST_BEFORE

    def on_tier_change(self, change: TierChange, **_: Any) -> None:
        """A group may be held from now on."""
        if change.account == "group" and change.after >= InterventionAction.YIELD and not self.are_all_held:
            self._held.add(change.name)
            if self.are_all_held:
                self._steps.clear()

    @property
    def are_all_held(self) -> bool:
        """Whether each group came to Yield."""
        return len(self._held) == len(PRIORITIES)


def run_priorities(make_loop: LoopFactory, algorithm: SchedulingAlgorithm, most: int) -> list[int]:
    """Count the steps of each priority from when all are held."""
    figures, books, steps = Figures(), Books(), Counter[str]()
    hooks = FromAllHeld(steps)
    queue = SlowQueueConfig(algorithm=algorithm, lottery_seed=1, slice_time_per_turn_us=1_000)
    with governed(make_loop, strict_config(slow_queue=queue)) as (runner, manager):
        manager.hooks.register(hooks)
        runner.run(compete(books, steps, most))
    books.check(manager)
    figures.add(manager)
    figures.print(f"{3 * TASKS_EACH} heavy tasks of three priorities, {algorithm.value}: {dict(steps)}")
    assert hooks.are_all_held
    return [steps[priority.name] for priority in PRIORITIES]


@pytest.mark.timing  # a virtual machine may count as used by a task what it was not given
@pytest.mark.parametrize("algorithm", list(SchedulingAlgorithm))
def test_higher_priorities_come_further_and_the_lowest_goes_on(
    algorithm: SchedulingAlgorithm, loop_factory: LoopFactory
) -> None:
    run_priorities(loop_factory, algorithm, most=2 * len(PRIORITIES) * TASKS_EACH)
    with unchanged():
        served = run_priorities(loop_factory, algorithm, ALL_STEPS)
    assert served == sorted(served, reverse=True)
    assert served[0] > served[-1] > 0
