"""Checkpoints spend operations, and yield to the loop when the budget of a poll is spent, and only then."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import TaskPriority, budget_spent, checkpoint, current, spawn
from tests.support.loops import LoopFactory

# So large that a slow machine does not spend it in a poll of these tests.
PLENTY = pulse.TierConfig(poll_budget_us=10_000_000)


def polls() -> int:
    return current().metrics.polls


@pytest.fixture
def run(loop_factory: LoopFactory) -> Callable[..., Any]:
    def run(main: Callable[[], Coroutine[Any, Any, Any]], config: pulse.TierConfig = PLENTY) -> Any:
        try:
            return pulse.run(main(), config=config, loop_factory=loop_factory)
        finally:
            # The errors that were expected hold frames, those the loop, and the loop the thread that samples it.
            gc.collect()

    return run


Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("priority", "operations"),
    [(TaskPriority.CRITICAL, 512), (TaskPriority.HIGH, 256), (TaskPriority.NORMAL, 128), (TaskPriority.LOW, 64)],
)
def test_a_checkpoint_yields_at_the_end_of_the_budget(run: Run, priority: TaskPriority, operations: int) -> None:
    async def spends() -> list[int]:
        yields = []
        for number in range(1, 5 * operations + 1):
            before = polls()
            await checkpoint()
            if polls() != before:
                yields.append(number)
        return yields

    async def main() -> None:
        assert await spawn(spends(), priority=priority) == [operations * count for count in range(1, 6)]
        assert pulse.get_manager().get_metrics().voluntary_yields == 5

    run(main)


def test_others_run_when_it_yields(run: Run) -> None:
    async def main() -> None:
        order: list[str] = []
        asyncio.get_running_loop().call_soon(order.append, "other")
        for number in range(128):
            await checkpoint()
            order.append(str(number))
        assert order.index("other") == 127

    run(main)


def test_a_cost(run: Run) -> None:
    async def main() -> None:
        assert current().operations_left == 128
        await checkpoint(100)
        assert current().operations_left == 28
        await checkpoint(cost=27)
        assert (current().operations_left, polls()) == (1, 0)
        await checkpoint(1)
        assert (current().operations_left, polls()) == (128, 1)
        await checkpoint(cost=10**15)
        assert polls() == 2

    run(main)


def test_budget_spent_does_not_yield(run: Run) -> None:
    async def main() -> None:
        answers = [budget_spent() for _ in range(130)]
        assert answers == [False] * 127 + [True] * 3
        assert (budget_spent(cost=5), polls(), current().operations_left) == (True, 0, 0)
        await asyncio.sleep(0)
        assert (budget_spent(127), budget_spent(1)) == (False, True)
        await checkpoint()
        assert polls() == 2

    run(main)


def test_every_poll_has_its_budget_anew(run: Run) -> None:
    async def main() -> None:
        for _ in range(10):
            for _ in range(127):
                await checkpoint()
            await asyncio.sleep(0)
        assert polls() == 10

    run(main)


def test_each_task_has_its_own(run: Run) -> None:
    async def spends() -> int:
        for _ in range(127):
            await checkpoint()
        return polls()

    async def main() -> None:
        assert await asyncio.gather(*(spends() for _ in range(5))) == [0] * 5

    run(main)


def test_time_ends_the_budget_too(run: Run) -> None:
    async def main() -> None:
        assert not budget_spent()
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass
        assert budget_spent()
        before = polls()
        await checkpoint()
        assert polls() == before + 1
        assert not budget_spent()

    run(main, pulse.TierConfig(poll_budget_us=25_000))


@pytest.mark.parametrize("spend", [checkpoint, budget_spent], ids=["checkpoint", "budget_spent"])
def test_wrong_costs(run: Run, spend: Any) -> None:
    def refuses_all() -> None:
        for wrong in (0, -1):
            with pytest.raises(ValueError, match="cost must be at least 1 operation, got"):
                spend(wrong)
        for wrong in ("1", None, 1.5):
            with pytest.raises(TypeError):
                spend(wrong)
        with pytest.raises(TypeError, match="takes one argument at most, cost"):
            spend(1, 2)
        with pytest.raises(TypeError, match="takes one argument at most, cost"):
            spend(coast=1)
        with pytest.raises(OverflowError):
            spend(2**70)

    async def main() -> None:
        refuses_all()
        assert current().operations_left == 128

    refuses_all()
    run(main)


def test_outside_governed_tasks_no_operations_are_spent(run: Run) -> None:
    async def ungoverned() -> str:
        # The clock begins here. It may have run for an earlier task, which had the same address.
        budget_spent()
        assert not budget_spent(10**6)
        await checkpoint(10**6)
        return "ran through"

    coro = ungoverned()
    with pytest.raises(StopIteration, match="ran through"):
        coro.send(None)

    async def main() -> None:
        task = asyncio.Task(ungoverned())
        await asyncio.sleep(0)
        assert task.done()
        assert await asyncio.to_thread(budget_spent, 10**6) is False

    run(main)
    with asyncio.Runner() as runner:
        assert runner.run(ungoverned()) == "ran through"


def test_a_checkpoint_is_awaited_once_or_never(run: Run) -> None:
    async def main() -> None:
        kept = checkpoint(128)
        await kept
        await kept
        assert polls() == 1
        checkpoint()
        assert asyncio.isfuture(kept) is False

    run(main)


def test_a_checkpoint_is_where_a_cancellation_arrives(run: Run) -> None:
    async def spends_forever() -> None:
        while True:
            await checkpoint()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await spends_forever()
        task = asyncio.create_task(spends_forever())
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task

    run(main)


def test_bare_yields_are_counted_and_other_suspensions_are_not(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(7):
            await asyncio.sleep(0)
        for _ in range(3):
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future
        metrics = pulse.get_manager().get_metrics()
        assert (metrics.voluntary_yields, metrics.polls, metrics.forced_yields) == (7, 10, 0)

    run(main)
