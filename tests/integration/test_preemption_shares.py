"""What hogs that are preempted get of their loop, and what it costs them."""

from __future__ import annotations

import asyncio
import time

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import TaskPriority
from asyncio_pulse.config import SchedulingAlgorithm, SlowQueueConfig
from asyncio_pulse.runtime.loop_values import slow_queue
from tests.support.loops import LoopFactory
from tests.support.preempting import MANY, compute_until, preemptions, run_preempting

BUDGET_US = 500
WEIGHTS = {TaskPriority.HIGH: 3, TaskPriority.NORMAL: 2, TaskPriority.LOW: 1}


@pytest.mark.timing  # on a busy machine one of them may come to Yield long before another
@pytest.mark.parametrize(
    "priorities",
    [[TaskPriority.NORMAL] * 5, [TaskPriority.HIGH, TaskPriority.LOW]],
    ids=["equal ones", "high and low"],
)
def test_hogs_get_slices_by_their_weights(loop_factory: LoopFactory, priorities: list[TaskPriority]) -> None:
    async def main() -> list[int]:
        views: list[pulse.TaskView] = []
        done = asyncio.Event()

        async def computing() -> None:
            views.append(pulse.current())
            while not done.is_set():
                pass

        for number, priority in enumerate(priorities):
            pulse.spawn(computing(), preemptible=True, priority=priority, group=f"{number}", budget_us=BUDGET_US)
        while preemptions() <= MANY:
            await asyncio.sleep(0)
        slices = [view.metrics.polls for view in views]
        done.set()
        return slices

    # Which counts slices: how long each is depends on what else the machine does; the benchmark has the times.
    by_slices = SlowQueueConfig(algorithm=SchedulingAlgorithm.CREDIT_BASED)
    slices = run_preempting(main(), loop_factory, poll_budget_us=BUDGET_US, slow_queue=by_slices)
    shares = [each / WEIGHTS[priority] for each, priority in zip(slices, priorities, strict=True)]
    assert max(shares) / min(shares) < 1.05


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
        assert (preemptions() > 5) == preemptible
        return time.thread_time() - began

    ratios = []
    for _ in range(4):
        plain = run_preempting(main(False), loop_factory, poll_budget_us=2_000, max_tier="monitor")
        ratios.append(run_preempting(main(True), loop_factory, poll_budget_us=2_000) / plain)
    # The figure itself is the benchmark's.
    assert min(ratios) < 1.15


def test_new_hogs_join_those_of_their_group_that_wait(loop_factory: LoopFactory) -> None:
    """Else each would overtake them with its first poll, and these polls would fill whole turns."""
    count = 20

    async def main() -> None:
        governor = pulse.get_manager().governor
        done = asyncio.Event()
        tasks = [pulse.spawn(compute_until(done), preemptible=True) for _ in range(count)]
        while sum(slow_queue(governor).queue.queued) < count // 2:
            await asyncio.sleep(0)
        parked, left = slow_queue(governor).parked, preemptions()
        assert left > 0
        tasks += [pulse.spawn(compute_until(done), preemptible=True) for _ in range(count)]
        await asyncio.sleep(0)
        # They are parked before they are ever suspended.
        assert slow_queue(governor).parked - parked >= count
        assert preemptions() - left <= count // 2
        done.set()
        await asyncio.gather(*tasks)

    run_preempting(main(), loop_factory)
