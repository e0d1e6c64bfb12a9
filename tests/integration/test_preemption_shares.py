"""What hogs that are preempted get of their loop, and what it costs them."""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import TaskPriority
from tests.conftest import LoopFactory
from tests.integration.preempting import MANY, preemptions, run_preempting

BUDGET_US = 500


async def cpu_used(priorities: list[TaskPriority]) -> list[int]:
    """Run a hog of each priority until there were many preemptions; the CPU time that each used."""
    views: list[pulse.TaskView] = []
    done = asyncio.Event()

    async def computing() -> None:
        views.append(pulse.current())
        while not done.is_set():
            pass

    tasks = [
        pulse.spawn(computing(), preemptible=True, priority=each, group=f"{number}", budget_us=BUDGET_US)
        for number, each in enumerate(priorities)
    ]
    while preemptions() <= MANY:
        await asyncio.sleep(0)
    used = [view.account.cpu_time_ns for view in views]
    done.set()
    await asyncio.gather(*tasks)
    return used


def test_equal_ones_get_equal_shares(loop_factory: LoopFactory) -> None:
    used = run_preempting(cpu_used([TaskPriority.NORMAL] * 5), loop_factory)
    middle = statistics.median(used)
    assert max(used) < 1.05 * middle
    assert min(used) > 0.95 * middle


def test_low_ones_get_less_than_high_ones_as_weighted(loop_factory: LoopFactory) -> None:
    high, low = run_preempting(cpu_used([TaskPriority.HIGH, TaskPriority.LOW]), loop_factory)
    # Credits of 3 to 1.
    assert high / low == pytest.approx(3, rel=0.25)


def test_being_left_costs_them_little(loop_factory: LoopFactory) -> None:
    def work() -> int:
        total = 0
        for number in range(500_000):
            total += number
        return total

    async def hog() -> int:
        return work()

    async def main(preemptible: bool) -> float:
        began = time.thread_time()
        await asyncio.gather(*(pulse.spawn(hog(), preemptible=preemptible) for _ in range(5)))
        assert (preemptions() > 20) == preemptible
        return time.thread_time() - began

    ratios = []
    for _ in range(5):
        plain = run_preempting(main(False), loop_factory, poll_budget_us=2_000, max_tier="monitor")
        ratios.append(run_preempting(main(True), loop_factory, poll_budget_us=2_000) / plain)
    # The figure itself is the benchmark's.
    assert min(ratios) < 1.15
