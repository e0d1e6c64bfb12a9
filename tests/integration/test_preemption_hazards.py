"""What breaks a naive preemption: each test fails without the guard that it is about."""

from __future__ import annotations

import asyncio
import contextlib
import decimal
import gc
import importlib
import io
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import pytest

import asyncio_pulse as pulse
from tests.support.loops import LoopFactory
from tests.support.preempting import WITHIN_S, endanger, preemptions, refused, run_preempting


def some_work(rounds: int = 300) -> None:
    for _ in range(rounds):
        pass


@pytest.mark.parametrize("new", [threading.Lock, threading.RLock])
def test_a_lock_is_never_held_by_who_is_suspended(loop_factory: LoopFactory, new: Callable[[], Any]) -> None:
    lock = new()

    async def guarded() -> None:
        with lock:
            some_work()
        some_work()

    # A second task would wait for ever for the first.
    endanger(guarded, loop_factory, rule="critical", tasks=1, wrong=lambda: "unlocked" not in repr(lock))


def test_nor_is_one_that_is_acquired_by_hand(loop_factory: LoopFactory) -> None:
    lock = threading.Lock()

    def by_hand() -> None:
        lock.acquire()
        try:
            some_work()
        finally:
            lock.release()

    async def guarded() -> None:
        by_hand()
        some_work()

    endanger(guarded, loop_factory, rule="critical", tasks=1, wrong=lock.locked)


class Guard:
    """A lock of Python code, whose own methods call others."""

    def __init__(self) -> None:
        self.inside = 0

    def __enter__(self) -> None:
        self.inside += 1
        some_work(50)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        some_work(50)
        self.inside -= 1


class Aliased(Guard):
    """One whose methods have other names."""

    def begin(self) -> None:
        self.inside += 1
        some_work(50)

    def end(self, *_: object) -> None:
        some_work(50)
        self.inside -= 1

    __enter__ = begin
    __exit__ = end


@pytest.mark.parametrize("kind", [Guard, Aliased])
def test_entering_and_leaving_are_part_of_a_critical_section(kind: type[Guard]) -> None:
    guard = kind()

    async def guarded() -> None:
        with guard:
            pass
        with contextlib.suppress(KeyError), guard:
            raise KeyError
        some_work(50)

    endanger(guarded, rule="critical", wrong=lambda: guard.inside)


class Finalised(Guard):
    """One that cleans up when nobody refers to it any longer."""

    def __init__(self, counter: Guard) -> None:
        super().__init__()
        self.counter = counter

    def __del__(self) -> None:
        self.counter.inside += 1
        some_work(50)
        self.counter.inside -= 1


def test_a_finaliser_is_run_whole() -> None:
    counter = Guard()

    async def dropping() -> None:
        Finalised(counter)
        some_work(50)

    endanger(dropping, rule="critical", wrong=lambda: counter.inside)


def test_a_decimal_context_is_the_tasks_own(loop_factory: LoopFactory) -> None:
    precisions = iter(range(5, 1_000_000))
    inside = [0]

    async def dividing() -> None:
        precision = 5 + next(precisions) % 40
        # Of this task alone, from here on.
        decimal.setcontext(decimal.Context(prec=precision))
        for _ in range(20):
            assert len(str(decimal.Decimal(1) / 3)) == precision + 2
        with decimal.localcontext() as local:
            inside[0] += 1
            local.prec = 3
            for _ in range(20):
                assert str(decimal.Decimal(1) / 3) == "0.333"
            inside[0] -= 1
        assert decimal.getcontext().prec == precision

    endanger(dividing, loop_factory, rule="critical", wrong=lambda: inside[0])


def test_code_that_c_calls_is_left_alone() -> None:
    shared = list(range(100))

    def key(number: int) -> int:
        some_work(5)
        return -number

    async def sorting() -> None:
        # A list that is being sorted looks empty to everybody else.
        shared.sort(key=key)
        for _ in range(10):
            some_work()

    endanger(sorting, rule="c_code", wrong=lambda: len(shared) != 100)


def test_c_code_that_looks_for_signals_is_left_alone() -> None:
    read_end, write_end = os.pipe()

    def drain() -> None:
        while os.read(read_end, 1 << 16):
            time.sleep(0.0005)

    thread = threading.Thread(target=drain)
    thread.start()
    with os.fdopen(write_end, "wb", buffering=1 << 16) as file:

        async def writing() -> None:
            # Two tasks in one buffered file: "reentrant call inside BufferedWriter".
            file.write(b"x" * 100_000)
            for _ in range(10):
                some_work()

        endanger(writing, rule="instruction")
    thread.join()
    os.close(read_end)


def cleaning_up() -> Iterator[int]:
    try:
        yield 1
    finally:
        some_work(500)


def going_on() -> Iterator[int]:
    with contextlib.suppress(GeneratorExit):
        yield 1
    some_work(500)


@pytest.mark.parametrize("numbers", [cleaning_up, going_on])
def test_a_finaliser_run_by_the_collector_is_left_alone(numbers: Callable[[], Iterator[int]]) -> None:
    class Node:
        pass

    async def collecting() -> None:
        node: Any = Node()
        node.itself = node
        node.generator = numbers()
        next(node.generator)
        del node
        # Of the youngest: there is little but what this test makes.
        gc.collect(0)
        for _ in range(10):
            some_work()

    def is_stopped() -> bool:
        # Nothing is collected while somebody is suspended inside the collector.
        node: Any = Node()
        node.itself = node
        reference = weakref.ref(node)
        del node
        gc.collect(0)
        return reference() is not None

    endanger(collecting, rule="c_code", wrong=is_stopped, preempt_through_c="iteration")


def test_a_generator_that_is_closed_cleans_up_whole() -> None:
    inside = [0]

    def numbers() -> Iterator[int]:
        try:
            yield 1
        finally:
            inside[0] += 1
            some_work()
            inside[0] -= 1

    async def closing() -> None:
        # Dropped, it is closed by C code, from wherever that happens.
        next(numbers())
        some_work()

    endanger(closing, rule="c_code", wrong=lambda: inside[0], preempt_through_c="iteration")


def test_c_code_that_draws_from_a_generator_is_left_only_on_request() -> None:
    async def summing() -> int:
        return sum(number for number in range(300_000))

    async def main() -> tuple[int, int]:
        times, end = 0, time.monotonic() + WITHIN_S
        # On a busy machine it takes longer until one is asked.
        while times < 10 or (preemptions() + refused("c_code") == 0 and time.monotonic() < end):
            await pulse.spawn(summing(), preemptible=True)
            times += 1
        return preemptions(), refused("c_code")

    count, refusals = run_preempting(main())
    assert refusals > 0
    more, fewer = run_preempting(main(), preempt_through_c="iteration")
    assert more > count
    assert fewer < refusals


ELSEWHERE = """
inside = 0
def compute():
    global inside
    inside += 1
    for _ in range(300):
        pass
    inside -= 1
"""


def test_modules_that_did_not_opt_in_are_left_alone() -> None:
    module: Any = ModuleType("elsewhere")
    exec(ELSEWHERE, module.__dict__)
    inside: set[int] = set()

    async def elsewhere() -> None:
        module.compute()
        some_work()

    endanger(elsewhere, rule="module", wrong=lambda: module.inside, preemptible_modules=())
    endanger(elsewhere, wrong=lambda: inside.add(module.inside), preemptible_modules=("elsewhere",))
    assert inside > {0}


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


def test_an_import_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "rows = [number * number for number in range(100)]\nfor _ in range(300):\n    pass\nready = True\n"
    (tmp_path / "slow_to_import.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)

    async def importing() -> None:
        sys.modules.pop("slow_to_import", None)
        # Whoever imports the same meanwhile would wait for this task, which only the loop could resume.
        assert importlib.import_module("slow_to_import").ready
        for _ in range(30):
            some_work()

    def is_half_done() -> bool:
        module = sys.modules.get("slow_to_import")
        return module is not None and not hasattr(module, "ready")

    try:
        # The second task would deadlock.
        endanger(importing, rule="c_code", tasks=1, wrong=is_half_done)
    finally:
        sys.modules.pop("slow_to_import", None)


def test_logging_is_left_alone_even_if_everything_opted_in() -> None:
    stream = io.StringIO()
    log = logging.Logger("tests.preemption")
    log.addHandler(logging.StreamHandler(stream))
    numbers = iter(range(1_000_000))

    async def talking() -> None:
        log.warning("%s %d", "line", next(numbers))
        some_work()

    endanger(talking, rule="module")
    written = [line.split() for line in stream.getvalue().splitlines()]
    assert sorted(int(number) for _, number in written) == list(range(len(written)))


class Span:
    """What tracing libraries put round an endpoint."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


def test_a_with_round_an_await_forbids_nothing(loop_factory: LoopFactory) -> None:
    async def computing() -> None:
        for _ in range(20):
            some_work()

    async def traced() -> None:
        with Span():
            await computing()
            # In a task of its own before 3.12, which did not opt in.
            await asyncio.wait_for(computing(), 30)

    endanger(traced, loop_factory)


def test_no_preempt_holds_across_awaits_and_nests(loop_factory: LoopFactory) -> None:
    guarded = [0]

    @pulse.no_preempt()
    async def inner() -> None:
        some_work()

    async def computing() -> None:
        some_work()

    async def guarding() -> None:
        with pulse.no_preempt():
            guarded[0] += 1
            await inner()
            await computing()
            guarded[0] -= 1
        for _ in range(20):
            some_work()

    endanger(guarding, loop_factory, rule="guarded", wrong=lambda: guarded[0])


def test_a_trace_function_stops_it() -> None:
    async def main() -> None:
        async def computing() -> None:
            some_work(2_000_000)

        earlier = sys.gettrace()
        sys.settrace(lambda *_: None)
        try:
            await pulse.spawn(computing(), preemptible=True)
        finally:
            sys.settrace(earlier)
        assert refused("traced") > 0
        assert preemptions() == 0
        await pulse.spawn(computing(), preemptible=True)
        assert preemptions() > 0

    run_preempting(main())
