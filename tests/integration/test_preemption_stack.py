"""A coroutine that is suspended in its middle runs on the loop's own stack, and finds everything as it was."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import traceback
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import _core
from tests.support import preempting
from tests.support.loops import LoopFactory
from tests.support.preempting import AT_ONCE_US, WITHIN_S, preemptions, put_at_yield, run_preempting, until_preempted


def names_beneath() -> list[str]:
    frame, names = sys._getframe(1), []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return names


def test_the_frames_beneath_are_the_loops(loop_factory: LoopFactory) -> None:
    async def look(done: asyncio.Event) -> tuple[set[tuple[str, ...]], set[tuple[str, ...]]]:
        walked, extracted = set(), set()
        while not done.is_set():
            walked.add(tuple(names_beneath()))
            extracted.add(tuple(frame.name for frame in traceback.extract_stack()))
        return walked, extracted

    async def main() -> None:
        done = asyncio.Event()
        done.set()
        # Once plain: it looks at nothing, but its task is the same.
        await pulse.spawn(look(done))
        done.clear()
        task = pulse.spawn(look(done), preemptible=True)
        await until_preempted(50)
        done.set()
        walked, extracted = await task
        beneath = names_beneath()
        # What stands beneath the coroutine stands beneath this one, too.
        assert walked == {("look", *beneath[1:])}
        assert extracted == {tuple(reversed(["look", *beneath[1:]]))}
        assert "run_until_complete" in beneath or loop_factory is not asyncio.new_event_loop

    run_preempting(main(), loop_factory, poll_budget_us=AT_ONCE_US)


def test_a_call_in_an_except_block_finds_the_exception(loop_factory: LoopFactory) -> None:
    @pulse.governed(preemptible=True)
    async def report(rounds: int) -> list[bool]:
        return [isinstance(sys.exc_info()[1], ZeroDivisionError) for _ in range(rounds)]

    @pulse.governed(preemptible=True)
    async def raise_again() -> None:
        for _ in range(1000):
            pass
        raise  # noqa: PLE0704 - the caller handles it

    async def handling(call: Any) -> Any:
        try:
            return 1 / 0
        except ZeroDivisionError:
            return await call

    async def main() -> None:
        while preemptions() < 50:
            assert all(await handling(report(20_000)))
            with pytest.raises(ZeroDivisionError):
                await handling(raise_again())
            assert sys.exc_info() == (None, None, None)

    run_preempting(main(), loop_factory, poll_budget_us=AT_ONCE_US)


def test_the_recursion_limit_is_as_without(loop_factory: LoopFactory) -> None:
    def dive(depth: int) -> int:
        try:
            return dive(depth + 1)
        except RecursionError:
            return depth

    async def main() -> None:
        async def dives() -> set[int]:
            return {dive(0) for _ in range(300)}

        plain = await asyncio.create_task(dives())
        before = preemptions()
        depths: set[int] = set()
        while preemptions() < before + 20:
            depths |= await pulse.spawn(dives(), preemptible=True)
        assert max(plain) - 2 <= min(depths) <= max(depths) <= max(plain) + 2

    run_preempting(main(), loop_factory, poll_budget_us=AT_ONCE_US)


@pytest.mark.timing
@pytest.mark.parametrize("compute", [0, 5_000], ids=["nothing else", "computing in between"])
def test_the_next_await_is_found_however_much_is_computed_before(loop_factory: LoopFactory, compute: int) -> None:
    async def consume(queue: asyncio.Queue[int], done: asyncio.Event) -> None:
        while not done.is_set():
            await queue.put(await queue.get())
            for _ in range(compute):
                pass

    async def main() -> None:
        # As programs are asked, not as tests seek dangers.
        _core.set_ask_percent(1)
        queue: asyncio.Queue[int] = asyncio.Queue()
        queue.put_nowait(1)
        done = asyncio.Event()
        task = asyncio.create_task(consume(queue, done))
        put_at_yield(task)
        try:
            await until_preempted(50, within_s=5)
        finally:
            done.set()
            _core.set_ask_percent(preempting.ASK_PERCENT)
            await task

    run_preempting(main(), loop_factory)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_the_poll_under_way_is_asked_on_after_a_fork_in_another_thread(loop_factory: LoopFactory) -> None:
    def fork() -> int:
        child = os.fork()
        if child == 0:
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    async def main() -> None:
        with preempting.hogs(1):
            await until_preempted(1)
            for _ in range(10):
                # The hog never ends its poll by itself.
                assert await asyncio.wait_for(asyncio.to_thread(fork), 30) == 7
                await until_preempted(preemptions() + 5)

    run_preempting(main(), loop_factory)


def test_nested_calls_of_any_thread_take_little_stack_while_an_await_is_looked_for(loop_factory: LoopFactory) -> None:
    """GIVEN recursion that needs no C stack in plain Python; WHEN an await is looked for; THEN the stack suffices."""
    depth = 50_000

    def gave_up() -> int:
        return int(pulse.get_manager().governor.preemption_record()["gave_up"])

    def dive(levels: int) -> int:
        return dive(levels - 1) + 1 if levels else 0

    async def dives(began: float) -> int:
        dived = 0
        # On a busy machine it takes longer until one is asked.
        while time.monotonic() < began + (WITHIN_S if gave_up() == 0 else 1):
            assert dive(depth) == depth
            dived += 1
        return dived

    async def main() -> None:
        task = asyncio.create_task(dives(time.monotonic()))
        put_at_yield(task)
        beside = asyncio.to_thread(lambda: [dive(depth) for _ in range(10)])
        assert (await asyncio.gather(task, beside))[0] > 0
        # It was asked, and an await was looked for.
        assert gave_up() > 0

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 10_000)
    try:
        run_preempting(main(), loop_factory)
    finally:
        sys.setrecursionlimit(limit)
