"""Parked tasks remain asyncio's own: delivery, cancellation, closing and switching off lose nothing and add no noise.

That a parked program cannot be told from a plain one is what `comparison` shows for every scenario of the equivalence
tests; here are crowds, and what only a queue can do wrong.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import random
import sys
import threading
import warnings
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse.config import InterventionAction, SlowQueueConfig
from asyncio_pulse.runtime.loop_values import slow_queue
from tests.support.comparison import compare, ending
from tests.support.loops import Loop, LoopFactory
from tests.support.offenders import (
    GROUP,
    offend,
    parking_config,
    run,
    serve,
    spawn_offender,
    strict_config,
    tier_of,
)

CROWD = 1_000


def queued() -> int:
    return sum(slow_queue(pulse.get_manager().governor).queue.queued)


async def park(count: int, work: Callable[[int], Awaitable[Any]]) -> list[asyncio.Task[Any]]:
    """Start so many tasks and return while nearly all are parked."""

    async def begin(number: int) -> Any:
        return await work(number)

    tasks = [spawn_offender(begin(number)) for number in range(count)]
    while queued() < count - 10:
        await asyncio.sleep(0)
    return tasks


async def tick(number: int) -> int:
    for _ in range(3):
        await asyncio.sleep(0)
    return number


def test_everything_that_is_delivered_arrives(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in range(CROWD)]
        errors = {number: ValueError(number) for number in range(0, CROWD, 3)}

        async def wait(number: int) -> object:
            try:
                return await futures[number]
            except ValueError as error:
                return error

        tasks = [spawn_offender(wait(number)) for number in range(CROWD)]
        while any(not task.get_coro().cr_await for task in tasks):  # type: ignore[union-attr]
            await asyncio.sleep(0)
        for number, future in enumerate(futures):
            if number in errors:
                future.set_exception(errors[number])
            else:
                future.set_result(number)
        await asyncio.sleep(0)
        assert queued() > CROWD / 2, slow_queue(pulse.get_manager().governor)
        assert await asyncio.gather(*tasks) == [errors.get(number, number) for number in range(CROWD)]

    run(loop_factory, main, parking_config())


def test_a_storm_of_cancellations(loop_factory: LoopFactory) -> None:
    """Ten thousand parked tasks, cancelled in random order, some twice, some after they were released."""

    async def main() -> None:
        ends = {"finished": 0, "cancelled": 0}

        async def work(number: int) -> None:
            try:
                await tick(number)
                ends["finished"] += 1
            except asyncio.CancelledError as error:
                ends["cancelled"] += error.args == ("message",)
                raise

        tasks = await park(9_990, work)
        chosen = random.Random(1)
        victims = chosen.sample(tasks, len(tasks) * 3 // 4)
        for number, task in enumerate(victims):
            task.cancel("message")
            if number % 3 == 0:
                task.cancel("message")
            if number % 1_000 == 0:
                await asyncio.sleep(0)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        cancelled = sum(isinstance(result, asyncio.CancelledError) for result in results)
        assert cancelled == sum(task.cancelled() for task in tasks) >= len(victims) - 10
        assert ends["finished"] == sum(result is None for result in results) == len(tasks) - cancelled
        # Whoever was cancelled before its first poll never ran.
        assert ends["cancelled"] <= cancelled
        metrics = slow_queue(pulse.get_manager().governor)
        assert metrics.cancelled >= cancelled / 2
        assert metrics.queue.queued == (0, 0, 0, 0)

    run(loop_factory, main, parking_config())


def test_ways_to_cancel_what_is_parked(loop_factory: LoopFactory) -> None:
    async def forever() -> None:
        while True:
            await asyncio.sleep(0)

    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise ValueError("one")

    async def in_group(beside: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(beside):
                group.create_task(forever())
            group.create_task(fail())

    async def in_time() -> str:
        try:
            async with asyncio.timeout(0.01):
                await forever()
        except TimeoutError:
            return f"timeout, {asyncio.current_task().cancelling()} left"  # type: ignore[union-attr]
        return "never"

    async def shielded() -> str:
        inner = asyncio.create_task(tick(7))
        outer = asyncio.ensure_future(asyncio.shield(inner))
        outer.cancel()
        return f"{await ending(outer)!s:.0}{await inner}"

    async def scenario() -> list[object]:
        return [
            str(await ending(asyncio.wait_for(forever(), 0.01))).splitlines()[-1],
            str(await ending(in_group(50))).count("ValueError: one"),
            await in_time(),
            await shielded(),
            await asyncio.gather(*(tick(number) for number in range(50))),
        ]

    compare(loop_factory, scenario)


def test_async_generators_and_contexts(loop_factory: LoopFactory) -> None:
    variable = contextvars.ContextVar("variable", default=-1)

    async def numbers(number: int) -> AsyncIterator[int]:
        try:
            for each in range(3):
                await asyncio.sleep(0)
                yield number * 10 + each
        finally:
            await asyncio.sleep(0)

    async def work(number: int) -> list[int]:
        variable.set(number)
        found = [each async for each in numbers(number)]
        async for each in numbers(number):
            found.append(each)
            break
        return [*found, variable.get()]

    async def scenario() -> list[list[int]]:
        return await asyncio.gather(*(work(number) for number in range(30)))

    outcome = compare(loop_factory, scenario).outcome
    assert outcome == [[n * 10, n * 10 + 1, n * 10 + 2, n * 10, n] for n in range(30)]


def test_a_parked_coroutine_is_closed(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        seen: list[int] = []

        async def work(number: int) -> None:
            try:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            finally:
                seen.append(number)

        tasks = await park(100, work)
        before = queued()
        for task in tasks[50:]:
            task.get_coro().close()  # type: ignore[union-attr]
        assert queued() <= before - 50
        # Somebody closed the coroutine under its task, which then finds it so.
        for task in tasks[50:]:
            task.cancel()
        endings = await asyncio.gather(*tasks, return_exceptions=True)
        assert endings[:50] == [None] * 50
        assert all(isinstance(each, RuntimeError | asyncio.CancelledError) for each in endings[50:])
        assert set(range(50)) <= set(seen)

    run(loop_factory, main, parking_config())


def starts_eagerly(loop: Loop) -> bool:
    """Whether the loop's eager factory does what it is for, which uvloop's cannot since Python 3.13."""
    begun: list[int] = []

    async def begin() -> None:
        begun.append(1)

    async def main() -> bool:
        task = asyncio.create_task(begin())
        at_once = bool(begun)
        await task
        return at_once

    probe = main()
    try:
        return loop.run_until_complete(probe)
    except (TypeError, RuntimeError):
        probe.close()
        return False


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks_are_parked_at_their_first_step(any_loop: Loop) -> None:
    any_loop.set_task_factory(asyncio.eager_task_factory)
    if not starts_eagerly(any_loop):
        pytest.skip("an eager factory does not make eager tasks on this loop")
    manager = pulse.install(parking_config(), loop=any_loop)

    async def main() -> None:
        context = await offend()
        tasks = [asyncio.create_task(tick(number), context=context) for number in range(100)]
        assert queued() > 50
        assert await asyncio.gather(*tasks) == list(range(100))

    any_loop.run_until_complete(serve(main()))
    assert manager.get_metrics().internal_errors == 0
    pulse.uninstall(loop=any_loop)


def test_a_loop_is_stopped_and_runs_again(any_loop: Loop) -> None:
    pulse.install(parking_config(), loop=any_loop)

    async def begin() -> list[asyncio.Task[Any]]:
        await offend()
        return await park(CROWD, tick)

    tasks = any_loop.run_until_complete(serve(begin()))
    assert not any(task.done() for task in tasks[CROWD // 2 :])
    any_loop.call_soon(any_loop.stop)
    any_loop.run_forever()
    assert any_loop.run_until_complete(asyncio.gather(*tasks)) == list(range(CROWD))
    pulse.uninstall(loop=any_loop)


def complaints_of_closing(make_loop: LoopFactory, caplog: pytest.LogCaptureFixture, *, governed: bool) -> list[str]:
    """Close a loop with a crowd of tasks that wait, and collect everything; what was said, and that all is gone."""
    caplog.clear()
    loop = make_loop()
    ended: list[int] = []

    async def work(number: int) -> None:
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(1_000)
        finally:
            ended.append(number)

    async def begin() -> list[weakref.ref[object]]:
        if not governed:
            tasks = [asyncio.create_task(work(number)) for number in range(CROWD)]
            await asyncio.sleep(0)
        else:
            await offend()
            tasks = await park(CROWD, work)
        return [weakref.ref(task) for task in tasks]

    references: list[weakref.ref[object]] = []
    if governed:
        manager = pulse.install(parking_config(), loop=loop)
        references.append(weakref.ref(manager))
        del manager
    references += loop.run_until_complete(serve(begin()) if governed else begin())
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        loop.close()
        references.append(weakref.ref(loop))
        del loop
        gc.collect()
        # The manager goes after its loop.
        gc.collect()
    # Whoever was released, and was about to begin, is left as any task that has not begun.
    assert len(warned) <= 1, warned
    assert not [reference for reference in references if reference() is not None]
    return sorted({record.getMessage().splitlines()[0] for record in caplog.records if record.name == "asyncio"})


def test_a_loop_is_closed_with_a_full_queue(loop_factory: LoopFactory, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    plain = complaints_of_closing(loop_factory, caplog, governed=False)
    assert (
        complaints_of_closing(loop_factory, caplog, governed=True) == plain == ["Task was destroyed but it is pending!"]
    )


def release_by(manager: pulse.TierManager, loop: Loop, way: str) -> None:
    if way == "uninstall":
        pulse.uninstall(loop=loop)
    else:
        manager.set_mode(way)  # type: ignore[arg-type]


@pytest.mark.parametrize("from_thread", [False, True], ids=["here", "from another thread"])
@pytest.mark.parametrize("way", ["uninstall", "observe", "off"])
def test_switching_off_lets_everybody_go_on(any_loop: Loop, way: str, from_thread: bool) -> None:
    # An allowance that serves one in each grant: without being let go all of them would take thousands of turns.
    manager = pulse.install(parking_config(), loop=any_loop)

    async def main() -> None:
        await offend()
        tasks = await park(CROWD, tick)
        if from_thread:
            thread = threading.Thread(target=release_by, args=(manager, any_loop, way))
            thread.start()
            while thread.is_alive():
                await asyncio.sleep(0)
            thread.join()
        else:
            release_by(manager, any_loop, way)
        turns = 0
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            turns += 1
        assert turns < 20
        assert [task.result() for task in tasks] == list(range(CROWD))
        assert slow_queue(manager.governor).queue.queued == (0, 0, 0, 0)

    any_loop.run_until_complete(serve(main()))
    assert manager.get_metrics().internal_errors == 0
    pulse.uninstall(loop=any_loop)


def test_what_was_switched_off_parks_again(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        manager = pulse.get_manager()
        await park(100, tick)
        manager.set_mode("observe")
        before = slow_queue(manager.governor).parked
        await asyncio.gather(*(spawn_offender(tick(number)) for number in range(100)))
        assert slow_queue(manager.governor).parked == before
        manager.set_mode("act")
        await asyncio.gather(*(spawn_offender(tick(number)) for number in range(100)))
        assert slow_queue(manager.governor).parked > before

    run(loop_factory, main, parking_config())


def test_who_finds_the_queue_full_runs(loop_factory: LoopFactory) -> None:
    settings = SlowQueueConfig(slice_time_per_turn_us=1, max_slow_queue_size=10)

    async def main() -> None:
        assert await asyncio.gather(*(spawn_offender(tick(number)) for number in range(CROWD))) == list(range(CROWD))
        queue = slow_queue(pulse.get_manager().governor).queue
        assert queue.high_water_mark == 10
        assert queue.overflows > CROWD
        assert queue.waits.count == sum(queue.served) >= 10

    run(loop_factory, main, strict_config(slow_queue=settings))


def test_the_size_of_the_queue_is_changed(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        manager = pulse.get_manager()
        for size in (10, 20):
            settings = SlowQueueConfig(slice_time_per_turn_us=1, max_slow_queue_size=size)
            manager.update_config(strict_config(slow_queue=settings))
            await asyncio.gather(*(spawn_offender(tick(number)) for number in range(100)))
            assert slow_queue(manager.governor).queue.high_water_mark == size

    run(loop_factory, main, strict_config(slow_queue=SlowQueueConfig(max_slow_queue_size=1)))


def test_parks_are_no_yields(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        manager = pulse.get_manager()
        before, polls = slow_queue(manager.governor), manager.get_metrics().polls
        await asyncio.gather(*(spawn_offender(tick(number)) for number in range(100)))
        metrics, after = manager.get_metrics(), slow_queue(manager.governor)
        assert after.parked - before.parked > 300
        # Four polls each, and those of this task: a park is none.
        assert metrics.polls - polls <= 402
        assert metrics.forced_yields == 0
        assert after.slices - before.slices == 400
        assert (after.parked - before.parked) + (after.admitted - before.admitted) == 400

    run(loop_factory, main, parking_config())


def test_loops_in_threads_are_independent(loop_factory: LoopFactory) -> None:
    parked: dict[str, int] = {}

    def serve(name: str, config: pulse.TierConfig) -> None:
        async def main() -> None:
            await asyncio.gather(*(spawn_offender(tick(number)) for number in range(200)))
            parked[name] = slow_queue(pulse.get_manager().governor).parked
            assert tier_of(GROUP) == InterventionAction.YIELD

        run(loop_factory, main, config)

    modes = {"first": "act", "second": "act", "observing": "observe"}
    threads = [
        threading.Thread(target=serve, args=(name, parking_config(mode=mode)), name=name)
        for name, mode in modes.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert parked["first"] > 400
    assert parked["second"] > 400
    assert parked["observing"] == 0
