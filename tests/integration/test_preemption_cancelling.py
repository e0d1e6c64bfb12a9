"""Cancelling what never awaits: raised where code expects it, and nothing that cleans up is cut."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any

import anyio
import pytest

import asyncio_pulse as pulse
from asyncio_pulse.testing import chaos
from tests.support.loops import LoopFactory
from tests.support.preempting import AT_ONCE_US, MANY, preemptions, put_at_yield, run_preempting, until_preempted


async def spin() -> None:
    while True:
        pass


def test_a_timeout_ends_a_coroutine_that_never_awaits(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async def limited() -> None:
            async with asyncio.timeout(0.05):
                await spin()

        with pytest.raises(TimeoutError):
            await pulse.spawn(limited(), preemptible=True)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pulse.spawn(spin(), preemptible=True), 0.05)

    run_preempting(main(), loop_factory)


@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_it_ends_within_three_slices(loop_factory: LoopFactory, how: str) -> None:
    async def main() -> None:
        views: list[pulse.TaskView] = []
        told: list[int] = []

        def tell() -> None:
            told.append(views[0].metrics.polls)

        async def limited() -> None:
            views.append(pulse.current())
            loop = asyncio.get_running_loop()
            # Long enough for many slices on a busy machine, too.
            async with asyncio.timeout(0.5 if how == "timeout" else None) as limit:
                # Just before the time-out itself.
                loop.call_at(limit.when() or loop.time() + 0.5, tell)
                while True:
                    pass

        others = [pulse.spawn(spin(), preemptible=True) for _ in range(2)]
        task = pulse.spawn(limited(), preemptible=True)
        if how == "cancel":
            while not told:
                await asyncio.sleep(0)
            told[0] = views[0].metrics.polls
            task.cancel()
        with pytest.raises(TimeoutError if how == "timeout" else asyncio.CancelledError):
            await task
        assert told[0] > 5
        assert views[0].metrics.polls - told[0] <= 3
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    run_preempting(main(), loop_factory)


def test_wait_for_inside_the_task_ends_it(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async def limited() -> None:
            # Before 3.12 wait_for makes a task of what it is given, which is another one than this.
            await asyncio.wait_for(pulse.spawn(spin(), preemptible=True), 0.05)

        with pytest.raises(TimeoutError):
            await pulse.spawn(limited(), preemptible=True)

        async def inline() -> None:
            async with asyncio.timeout(0.05):
                for _ in range(10**9):
                    pass

        with pytest.raises(TimeoutError):
            await pulse.spawn(inline(), preemptible=True)

    run_preempting(main(), loop_factory)


def test_cancel_ends_it_and_finally_runs_whole(loop_factory: LoopFactory) -> None:
    steps: list[str] = []

    async def cleaning_up() -> None:
        try:
            await spin()
        finally:
            steps.append("begun")
            end = time.perf_counter() + 0.02
            while time.perf_counter() < end:
                pass
            steps.append("ended")

    async def main() -> None:
        task = pulse.spawn(cleaning_up(), preemptible=True)
        await until_preempted(5)
        task.cancel()
        # A second one comes while it cleans up.
        while not steps:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run_preempting(main(), loop_factory)
    assert steps == ["begun", "ended"]


async def while_told(told: list[bool], cleaned: list[str]) -> None:
    try:
        while not told[0]:
            pass
    finally:
        cleaned.append("while")


async def for_ever(told: list[bool], cleaned: list[str]) -> None:
    try:
        while True:
            if told[0]:
                break
    finally:
        cleaned.append("for ever")


@pytest.mark.parametrize("looping", [while_told, for_ever])
def test_no_finally_is_missed_at_the_end_of_a_loop(
    loop_factory: LoopFactory, looping: Callable[[list[bool], list[str]], Coroutine[Any, Any, None]]
) -> None:
    async def main() -> None:
        for _ in range(20):
            told, cleaned = [False], list[str]()
            before = preemptions()
            task = pulse.spawn(looping(told, cleaned), preemptible=True)
            await until_preempted(before + 2)
            task.cancel()
            await asyncio.sleep(0.002)
            # There are loops with no place where a cancellation finds their handlers, in some versions of Python.
            told[0] = True
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(cleaned) == 1

    run_preempting(main(), loop_factory, poll_budget_us=AT_ONCE_US)


def test_the_normal_way_through_a_finally_is_not_cut(loop_factory: LoopFactory) -> None:
    steps: list[str] = []

    async def cleaning_up(begun: asyncio.Event, told: asyncio.Event) -> None:
        try:
            pass
        finally:
            begun.set()
            while not told.is_set():
                pass
            steps.append("ended")
        await asyncio.sleep(0)
        steps.append("too far")

    async def main() -> None:
        begun, told = asyncio.Event(), asyncio.Event()
        task = pulse.spawn(cleaning_up(begun, told), preemptible=True)
        await begun.wait()
        task.cancel()
        told.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_preempting(main(), loop_factory)
    assert steps == ["ended"]


def test_a_coroutine_that_returns_before_it_could_be_told_ends_cancelled(loop_factory: LoopFactory) -> None:
    async def returning(begun: asyncio.Event, told: asyncio.Event) -> str:
        try:
            return "done"
        finally:
            begun.set()
            while not told.is_set():
                pass

    async def main() -> bool:
        begun, told = asyncio.Event(), asyncio.Event()
        task = pulse.spawn(returning(begun, told), preemptible=True)
        await begun.wait()
        assert not task.done()
        task.cancel("why")
        told.set()
        with pytest.raises(asyncio.CancelledError, match="why"):
            await task
        return task.cancelled()

    assert run_preempting(main(), loop_factory)


def test_what_it_awaits_next_is_cancelled(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()

        async def waiting(begun: asyncio.Event, told: asyncio.Event) -> None:
            try:
                pass
            finally:
                begun.set()
                while not told.is_set():
                    pass
            await future

        begun, told = asyncio.Event(), asyncio.Event()
        task = pulse.spawn(waiting(begun, told), preemptible=True)
        await begun.wait()
        task.cancel()
        told.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.cancelled()

    run_preempting(main(), loop_factory)


def test_an_error_of_its_own_is_stronger(loop_factory: LoopFactory) -> None:
    async def failing(begun: asyncio.Event, told: asyncio.Event) -> None:
        try:
            pass
        finally:
            begun.set()
            while not told.is_set():
                pass
        raise LookupError

    async def main() -> None:
        begun, told = asyncio.Event(), asyncio.Event()
        task = pulse.spawn(failing(begun, told), preemptible=True)
        await begun.wait()
        task.cancel()
        told.set()
        with pytest.raises(LookupError):
            await task

    run_preempting(main(), loop_factory)


class Slots:
    """A semaphore whose end never suspends: plain asyncio always runs it."""

    def __init__(self) -> None:
        self.held = 0

    async def __aenter__(self) -> None:
        self.held += 1
        for _ in range(200):
            pass

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for _ in range(200):
            pass
        self.held -= 1


async def ready() -> None:
    """Return at once."""


def test_no_slot_is_lost(loop_factory: LoopFactory) -> None:
    async def work(slots: Slots) -> None:
        while True:
            async with slots:
                await ready()

    async def main() -> None:
        for _ in range(100):
            slots = Slots()
            task = pulse.spawn(work(slots), preemptible=True)
            await asyncio.sleep(0.002)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert slots.held == 0
        assert preemptions() > MANY

    run_preempting(main(), loop_factory, poll_budget_us=AT_ONCE_US)


def test_await_mode_raises_nothing_where_it_never_suspends(loop_factory: LoopFactory) -> None:
    async def work(slots: Slots, end: asyncio.Event) -> None:
        while not end.is_set():
            async with slots:
                await ready()
        await asyncio.sleep(0)

    async def main() -> None:
        for _ in range(30):
            slots, end = Slots(), asyncio.Event()
            task = asyncio.create_task(work(slots, end))
            put_at_yield(task)
            before = preemptions()
            while preemptions() < before + 3:
                await asyncio.sleep(0)
            task.cancel()
            while preemptions() < before + 6:
                await asyncio.sleep(0)
            assert not task.done()
            end.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert slots.held == 0

    run_preempting(main(), loop_factory, poll_budget_us=200)


def test_uncancelling_counts_as_without_preemption(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async def stubborn() -> int:
            task = asyncio.current_task()
            assert task is not None
            try:
                await spin()
            except asyncio.CancelledError:
                return task.uncancel()
            return -1

        task = pulse.spawn(stubborn(), preemptible=True)
        await until_preempted(5)
        task.cancel()
        assert await task == 0
        assert not task.cancelled()

    run_preempting(main(), loop_factory)


def test_what_was_taken_back_before_it_was_told_is_forgotten(loop_factory: LoopFactory) -> None:
    async def taken_back(begun: asyncio.Event, told: asyncio.Event) -> str:
        task = asyncio.current_task()
        assert task is not None
        try:
            pass
        finally:
            begun.set()
            while not told.is_set():
                pass
            task.uncancel()
        await asyncio.sleep(0.001)
        return "done"

    async def main() -> str:
        begun, told = asyncio.Event(), asyncio.Event()
        task = pulse.spawn(taken_back(begun, told), preemptible=True)
        await begun.wait()
        task.cancel()
        told.set()
        return await task

    assert run_preempting(main(), loop_factory) == "done"


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_timeout_is_over_with_its_block(loop_factory: LoopFactory, earlier: int) -> None:
    """The time ran out while the task was left at an await that does not suspend: nobody is cancelled behind the block."""

    async def hurried() -> tuple[bool, str]:
        task = asyncio.current_task()
        assert task is not None
        for _ in range(earlier):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        async with asyncio.timeout(0) as timeout:
            await ready()
        await asyncio.sleep(0.001)
        return timeout.expired(), "done"

    async def main() -> None:
        with chaos(1, park=0.0, preempt=1.0):
            assert await asyncio.create_task(hurried()) == (True, "done")

    run_preempting(main(), loop_factory)


def test_what_opted_in_to_nothing_keeps_what_it_returns(loop_factory: LoopFactory) -> None:
    """Cancelled where plain asyncio would not have suspended it, it has taken the item: that must not be lost."""

    async def take(queue: asyncio.Queue[str]) -> str:
        return await queue.get()

    async def main() -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()
        queue.put_nowait("item")
        with chaos(1, park=0.0, preempt=1.0):
            task = asyncio.create_task(take(queue))
            before = preemptions()
            while preemptions() == before:
                await asyncio.sleep(0)
            assert not task.done()
            assert task.cancel()
            assert await task == "item"

    run_preempting(main(), loop_factory)


def test_a_group_of_tasks_cancels_one_that_never_awaits(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async def failing() -> None:
            await asyncio.sleep(0.01)
            raise LookupError

        async def both() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(failing())
                group.create_task(pulse.governed(preemptible=True)(spin)())

        with pytest.raises(ExceptionGroup):
            await both()

    run_preempting(main(), loop_factory)


def test_what_a_scope_of_anyio_cancels_does_not_reach_through_a_shield(loop_factory: LoopFactory) -> None:
    """Left where a task group ends, the host is cancelled once a turn; what it waits for then is shielded."""

    async def fail(name: str) -> None:
        try:
            await anyio.sleep(0.001)
        finally:
            raise LookupError(name)

    async def nested() -> None:
        async with anyio.create_task_group() as outer:
            outer.start_soon(fail, "outer")
            async with anyio.create_task_group() as inner:
                inner.start_soon(fail, "inner")
                await anyio.sleep(1)

    async def main() -> None:
        with chaos(1, park=0.0, preempt=1.0):
            for _ in range(10):
                with pytest.raises(ExceptionGroup) as caught:
                    await nested()
                assert sorted(map(type_name, caught.value.exceptions)) == ["ExceptionGroup", "LookupError"]
        assert preemptions() >= 10

    run_preempting(main(), loop_factory, preemptible_modules=())


def type_name(error: Exception) -> str:
    """Name its type."""
    return type(error).__name__


def test_a_scope_of_anyio_ends_a_coroutine_that_never_awaits(loop_factory: LoopFactory) -> None:
    async def limited() -> bool:
        with anyio.move_on_after(0.05) as scope:
            await spin()
        return scope.cancelled_caught

    async def main() -> None:
        assert await pulse.spawn(limited(), preemptible=True)

    run_preempting(main(), loop_factory)
