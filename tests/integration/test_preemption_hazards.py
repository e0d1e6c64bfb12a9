"""What breaks a naive preemption: each test fails without the guard that it is about."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import logging
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any

import greenlet
import pytest

import asyncio_pulse as pulse
from tests.conftest import LoopFactory
from tests.integration.preempting import (
    compute_until,
    preemptions,
    put_at_yield,
    refused,
    run_preempting,
    until_preempted,
)


def test_a_lock_is_never_held_by_who_is_suspended(loop_factory: LoopFactory) -> None:
    lock, reentrant = threading.Lock(), threading.RLock()
    held_wrongly = 0

    async def guarded(enough: asyncio.Event) -> None:
        while not enough.is_set():
            with lock:
                for _ in range(500):
                    pass
            with reentrant:
                for _ in range(500):
                    pass
            by_hand()
            for _ in range(500):
                pass

    def by_hand() -> None:
        lock.acquire()
        try:
            for _ in range(500):
                pass
        finally:
            lock.release()

    async def main() -> None:
        nonlocal held_wrongly
        enough = asyncio.Event()
        tasks = [pulse.spawn(guarded(enough), preemptible=True) for _ in range(4)]
        while refused("critical") < 100 or preemptions() < 200:
            # None of them runs now: whoever holds one was left in the middle.
            held_wrongly += lock.locked() + ("count=0" not in repr(reentrant))
            await asyncio.sleep(0)
        enough.set()
        await asyncio.gather(*tasks)

    run_preempting(main(), loop_factory, poll_budget_us=200)
    assert held_wrongly == 0


class Guard:
    """A lock of Python code, whose own methods call others."""

    def __init__(self) -> None:
        self.inside = 0

    def __enter__(self) -> None:
        self.inside += 1
        self.work()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.work()
        self.inside -= 1

    def work(self) -> None:
        for _ in range(50):
            pass


class Aliased(Guard):
    """One whose methods have other names."""

    def begin(self) -> None:
        self.inside += 1
        self.work()

    def end(self, *_: object) -> None:
        self.work()
        self.inside -= 1

    __enter__ = begin
    __exit__ = end


@pytest.mark.parametrize("kind", [Guard, Aliased])
def test_entering_and_leaving_are_part_of_a_critical_section(kind: type[Guard]) -> None:
    guard = kind()
    seen: set[int] = set()

    async def guarded(enough: asyncio.Event) -> None:
        while not enough.is_set():
            with guard:
                pass
            with contextlib.suppress(KeyError), guard:
                raise KeyError

    async def main() -> None:
        enough = asyncio.Event()
        task = pulse.spawn(guarded(enough), preemptible=True)
        while refused("critical") < 100 or preemptions() < 200:
            seen.add(guard.inside)
            await asyncio.sleep(0)
        enough.set()
        await task

    run_preempting(main(), poll_budget_us=200)
    assert seen == {0}


def test_code_that_c_calls_is_left_alone() -> None:
    shared = list(range(2000))

    def key(number: int) -> int:
        for _ in range(20):
            pass
        return -number

    async def sorting() -> None:
        for _ in range(20):
            # A list that is being sorted looks empty to everybody else.
            shared.sort(key=key)

    async def main() -> None:
        lengths = set()
        task = pulse.spawn(sorting(), preemptible=True)
        while not task.done():
            lengths.add(len(shared))
            await asyncio.sleep(0)
        await task
        assert refused("c_code") > 100
        assert lengths == {2000}

    run_preempting(main())


def test_c_code_that_looks_for_signals_is_left_alone() -> None:
    async def main() -> None:
        read_end, write_end = os.pipe()
        with os.fdopen(write_end, "wb", buffering=1 << 16) as file:

            def drain() -> None:
                while os.read(read_end, 1 << 16):
                    time.sleep(0.005)

            thread = threading.Thread(target=drain)
            thread.start()

            async def writing() -> None:
                for _ in range(5):
                    # Two tasks in one buffered file: "reentrant call inside BufferedWriter".
                    file.write(b"x" * 300_000)
                    await asyncio.sleep(0)

            await asyncio.gather(*(pulse.spawn(writing(), preemptible=True) for _ in range(2)))
            assert refused("instruction") > 0
        thread.join()
        os.close(read_end)

    run_preempting(main())


def test_a_finaliser_run_by_the_collector_is_left_alone() -> None:
    class Node:
        pass

    def numbers() -> Iterator[int]:
        try:
            yield 1
        finally:
            for _ in range(30_000):
                pass

    async def collecting() -> None:
        for _ in range(30):
            node: Any = Node()
            node.itself = node
            node.generator = numbers()
            next(node.generator)
            del node
            gc.collect()
            for _ in range(5_000):
                pass

    async def main() -> None:
        task = pulse.spawn(collecting(), preemptible=True)
        blocked = 0
        while not task.done():
            node: Any = Node()
            node.itself = node
            reference = weakref.ref(node)
            del node
            gc.collect()
            blocked += reference() is not None
            await asyncio.sleep(0)
        await task
        assert refused("c_code") > 0
        assert blocked == 0

    run_preempting(main(), preempt_through_c="iteration")


def test_c_code_that_draws_from_a_generator_is_left_only_on_request() -> None:
    async def summing() -> int:
        return sum(number for number in range(300_000))

    async def main() -> tuple[int, int]:
        await pulse.spawn(summing(), preemptible=True)
        return preemptions(), refused("c_code")

    count, refusals = run_preempting(main())
    assert refusals > 0
    more, fewer = run_preempting(main(), preempt_through_c="iteration")
    assert more > count
    assert fewer < refusals


def test_modules_that_did_not_opt_in_are_left_alone() -> None:
    module = type(sys)("elsewhere")
    exec("def compute():\n    for _ in range(300000):\n        pass\n", module.__dict__)

    async def elsewhere() -> None:
        module.compute()

    async def main() -> tuple[int, int]:
        await pulse.spawn(elsewhere(), preemptible=True)
        return preemptions(), refused("module")

    assert run_preempting(main(), preemptible_modules=())[1] > 0
    allowed = run_preempting(main(), preemptible_modules=("elsewhere",))
    assert allowed[0] > 0


def test_logging_is_left_alone_even_if_everything_opted_in() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    log = logging.getLogger("tests.preemption")
    log.addHandler(handler)
    log.propagate = False

    async def talking(name: str) -> None:
        for number in range(1500):
            log.warning("%s %d", name, number)

    async def main() -> None:
        await asyncio.gather(*(pulse.spawn(talking(name), preemptible=True) for name in "abc"))
        assert preemptions() > 10
        assert refused("module") + refused("critical") > 10

    try:
        run_preempting(main(), poll_budget_us=200)
    finally:
        log.removeHandler(handler)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4500
    assert all(len(line.split()) == 2 for line in lines)


class Span:
    """What tracing libraries put round an endpoint."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


def test_a_with_round_an_await_forbids_nothing(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        done = asyncio.Event()

        async def traced() -> int:
            with Span():
                return await asyncio.wait_for(compute_until(done), 30)

        task = pulse.spawn(traced(), preemptible=True)
        if sys.version_info < (3, 12):
            # wait_for makes a task of its own there.
            task.cancel()

            async def spanned() -> int:
                with Span():
                    return await compute_until(done)

            task = pulse.spawn(spanned(), preemptible=True)
        await until_preempted(20)
        done.set()
        await task

    run_preempting(main(), loop_factory)


def test_no_preempt_holds_across_awaits_and_nests(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        guarded = [False]
        broken = 0

        @pulse.no_preempt()
        async def inner() -> None:
            for _ in range(50_000):
                pass

        async def computing() -> None:
            for _ in range(10):
                with pulse.no_preempt():
                    await asyncio.sleep(0)
                    guarded[0] = True
                    await inner()
                    await compute(50_000)
                    guarded[0] = False
                await compute(50_000)

        async def compute(rounds: int) -> None:
            for _ in range(rounds):
                pass

        task = pulse.spawn(computing(), preemptible=True)
        while not task.done():
            broken += guarded[0]
            await asyncio.sleep(0)
        await task
        assert refused("guarded") > 10
        assert preemptions() > 5
        assert broken == 0

    run_preempting(main(), loop_factory)


class Spawned(greenlet.greenlet):
    """As database libraries do it: synchronous code in a greenlet, whose awaits are done by the task around it."""

    def __init__(self, function: Callable[..., Any], driver: greenlet.greenlet) -> None:
        super().__init__(function, driver)
        self.gr_context = driver.gr_context


def await_only(awaitable: Any) -> Any:
    return greenlet.getcurrent().parent.switch(awaitable)


async def greenlet_spawn(function: Callable[[], Any]) -> Any:
    context = Spawned(function, greenlet.getcurrent())
    result = context.switch()
    while not context.dead:
        try:
            value = await result
        except BaseException:
            result = context.throw(*sys.exc_info())
        else:
            result = context.switch(value)
    return result


def synchronous() -> list[int]:
    results = []
    for number in range(5):
        results.append(await_only(asyncio.sleep(0.005, number)))
        for _ in range(50_000):
            pass
    return results


async def failing() -> None:
    await asyncio.sleep(0.005)
    raise KeyError("inside")


def synchronous_failure() -> list[str]:
    caught = []
    for _ in range(3):
        try:
            await_only(failing())
        except KeyError as error:
            caught.append(str(error))
    return caught


@pytest.mark.parametrize("armed", ["from the start", "in mid-life"])
def test_greenlets_of_other_libraries_go_on(loop_factory: LoopFactory, armed: str) -> None:
    async def main() -> None:
        async def request() -> tuple[list[int], list[str]]:
            views.append(pulse.current())
            return await greenlet_spawn(synchronous), await greenlet_spawn(synchronous_failure)

        views: list[pulse.TaskView] = []
        task = pulse.spawn(request(), preemptible=None if armed == "in mid-life" else True)
        await asyncio.sleep(0.007)
        views[0].update(preemptible=True)
        assert await asyncio.wait_for(task, 20) == ([0, 1, 2, 3, 4], ["'inside'"] * 3)

    run_preempting(main(), loop_factory)


def test_only_the_innermost_of_nested_segments_is_left(loop_factory: LoopFactory) -> None:
    wrong = 0

    @pulse.governed(preemptible=True)
    async def inner() -> int:
        total = 0
        for _ in range(60):
            for _ in range(3_000):
                total += asyncio.current_task() is not running[-1]
            await asyncio.sleep(0)
        return total

    running: list[Any] = []

    async def outer() -> None:
        nonlocal wrong
        for _ in range(3):
            for _ in range(20_000):
                pass
            await asyncio.sleep(0)
            me = asyncio.current_task()
            running.append(me)
            wrong += await inner()
            wrong += asyncio.current_task() is not me

    async def main() -> None:
        await asyncio.wait_for(pulse.spawn(outer(), preemptible=True), 60)
        assert preemptions() > 20

    run_preempting(main(), loop_factory)
    assert wrong == 0


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_an_eager_task_inside_an_armed_one_suspends_to_it(loop_factory: LoopFactory) -> None:
    wrong = 0

    async def inner() -> None:
        nonlocal wrong
        me = asyncio.current_task()
        for _ in range(60):
            for _ in range(3_000):
                wrong += asyncio.current_task() is not me
            await asyncio.sleep(0)

    async def outer() -> None:
        nonlocal wrong
        me = asyncio.current_task()
        loop = asyncio.get_running_loop()
        decorated = pulse.governed(preemptible=True)(inner)
        tasks = [asyncio.Task(decorated(), loop=loop, eager_start=True) for _ in range(3)]
        for _ in range(200_000):
            wrong += asyncio.current_task() is not me
        await asyncio.gather(*tasks)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(loop.get_task_factory())
        await asyncio.wait_for(pulse.spawn(outer(), preemptible=True), 60)
        assert preemptions() > 5

    run_preempting(main(), loop_factory)
    assert wrong == 0


def test_signals_of_the_program_do_not_wait_for_who_was_left(loop_factory: LoopFactory) -> None:
    own = signal.SIGRTMIN + 7
    handled: list[int] = []

    async def main() -> None:
        done = asyncio.Event()

        async def computing() -> None:
            mine = {signal.SIGURG, own}
            for _ in range(30):
                signal.pthread_sigmask(signal.SIG_BLOCK, mine)
                end = time.perf_counter() + 0.002
                while time.perf_counter() < end:
                    pass
                signal.pthread_kill(threading.main_thread().ident or 0, own)
                count = len(handled)
                # Both come at once now; ours has the lower number, and leaves.
                signal.pthread_sigmask(signal.SIG_UNBLOCK, mine)
                for _ in range(2_000):
                    pass
                late.append(len(handled) == count)
            done.set()

        late: list[bool] = []
        await pulse.spawn(computing(), preemptible=True)
        # What others see while the hog waits for its next turn.
        assert len(handled) == 30
        assert not any(late)

    earlier = signal.signal(own, lambda number, frame: handled.append(number))
    try:
        run_preempting(main(), loop_factory)
    finally:
        signal.signal(own, earlier)


def test_signals_of_the_loop_are_not_lost_in_bursts(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        handled = 0

        def handle() -> None:
            nonlocal handled
            handled += 1

        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, handle)

        async def refused_often() -> None:
            for _ in range(5):
                max(range(500), key=lambda number: sum([number for _ in range(100)]))

        for _ in range(20):
            task = pulse.spawn(refused_often(), preemptible=True)
            await asyncio.sleep(0)
            os.kill(os.getpid(), signal.SIGUSR1)
            await task
            await asyncio.sleep(0.001)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)
        assert refused("c_code") > 100
        assert handled == 20

    run_preempting(main(), loop_factory)


def test_a_trace_function_stops_it() -> None:
    async def main() -> int:
        async def computing() -> None:
            for _ in range(100_000):
                pass

        earlier = sys.gettrace()
        sys.settrace(lambda *_: None)
        try:
            await pulse.spawn(computing(), preemptible=True)
        finally:
            sys.settrace(earlier)
        assert refused("traced") > 0
        return preemptions()

    assert run_preempting(main()) == 0


async def never_empty_queue(done: asyncio.Event) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    while not done.is_set():
        await queue.put(1)
        await queue.get()


async def uncontended_lock(done: asyncio.Event) -> None:
    lock = asyncio.Lock()
    while not done.is_set():
        async with lock:
            pass


async def ready_items(done: asyncio.Event) -> None:
    async def items() -> AsyncIterator[int]:
        while not done.is_set():
            yield 1

    async for _ in items():
        pass


async def full_buffer(done: asyncio.Event) -> None:
    reader = asyncio.StreamReader(limit=1 << 20)
    while not done.is_set():
        reader.feed_data(b"line\n" * 100)
        for _ in range(100):
            await reader.readline()


async def computing_between(done: asyncio.Event) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    while not done.is_set():
        for _ in range(5_000):
            pass
        await queue.put(1)
        await queue.get()


@pytest.mark.parametrize("looping", [never_empty_queue, uncontended_lock, ready_items, full_buffer, computing_between])
def test_loops_over_ready_awaits_are_left_at_await_points(
    loop_factory: LoopFactory, looping: Callable[[asyncio.Event], Any]
) -> None:
    async def main() -> None:
        done = asyncio.Event()
        # Nothing opted in.
        task = asyncio.create_task(looping(done))
        put_at_yield(task)
        await until_preempted(20)
        done.set()
        await task

    run_preempting(main(), loop_factory, preemptible_modules=())
