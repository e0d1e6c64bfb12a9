"""What breaks a naive preemption: each test fails without the guard that it is about."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import pytest

import asyncio_pulse as pulse
from tests.conftest import LoopFactory
from tests.integration.preempting import (
    compute_until,
    preemptions,
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
    exec("def compute():\n    for _ in range(3_000_000):\n        pass\n", module.__dict__)

    async def elsewhere() -> None:
        module.compute()

    async def main() -> tuple[int, int]:
        await pulse.spawn(elsewhere(), preemptible=True)
        return preemptions(), refused("module")

    assert run_preempting(main(), preemptible_modules=())[1] > 0
    allowed = run_preempting(main(), preemptible_modules=("elsewhere",))
    assert allowed[0] > 0


def test_code_without_a_module_is_left_where_all_opted_in() -> None:
    namespace: dict[str, Any] = {}
    exec("def compute():\n    for _ in range(3_000_000):\n        pass\n", namespace)

    async def template() -> None:
        namespace["compute"]()

    async def main() -> tuple[int, int]:
        await pulse.spawn(template(), preemptible=True)
        return preemptions(), refused("module")

    assert run_preempting(main(), preemptible_modules=())[1] > 0
    assert run_preempting(main(), preemptible_modules=("*",))[0] > 0


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
                # Long enough for the next attempt: those in the guarded part made it wait.
                await compute(500_000)

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


def test_a_trace_function_stops_it() -> None:
    async def main() -> int:
        async def computing() -> None:
            for _ in range(2_000_000):
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
