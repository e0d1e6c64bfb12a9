"""By default a step that lasts too long is left where the program waits for a library, and nowhere else."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import _core
from asyncio_pulse.runtime import preemption
from tests.support import preempting
from tests.support.loops import LoopFactory
from tests.support.preempting import WITHIN_S, preemptions

Work = Callable[[float], Coroutine[Any, Any, object]]


@pytest.fixture(autouse=True)
def _as_for_programs() -> Iterator[None]:
    _core.set_ask_percent(1)
    yield
    _core.set_ask_percent(preempting.ASK_PERCENT)


def burn(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def gave_up() -> int:
    return int(pulse.get_manager().governor.preemption_record()["gave_up"])


async def over_a_queue(end: float) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    while time.thread_time() < end:
        await queue.put(1)
        await queue.get()


async def over_a_lock(end: float) -> None:
    lock = asyncio.Lock()
    while time.thread_time() < end:
        async with lock:
            pass


async def over_items(end: float) -> None:
    async def items() -> AsyncIterator[float]:
        while True:
            yield time.thread_time()

    async for now in items():
        if now > end:
            return


async def with_pauses(end: float) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    while time.thread_time() < end:
        await queue.put(1)
        burn(0.0005)


@pulse.governed(group="consumers")
async def in_a_group(end: float) -> None:
    await over_a_queue(end)


@pytest.mark.timing
@pytest.mark.parametrize("work", [over_a_queue, over_a_lock, over_items, with_pauses, in_a_group])
def test_a_first_offence_over_ready_awaits_does_not_hold_the_loop(work: Work, loop_factory: LoopFactory) -> None:
    seconds = 0.6

    async def main() -> float:
        latest = 0.0
        task = asyncio.create_task(work(time.thread_time() + seconds))
        while not task.done():
            began = time.thread_time()
            await asyncio.sleep(0.005)
            latest = max(latest, time.thread_time() - began)
        # Every 20 ms, and not only now and then.
        assert preemptions() > seconds / 0.02 / 4
        return latest

    # In plain asyncio the loop is held to the end. It is the thread's own time: a pause of the machine is not in it.
    assert pulse.run(main(), loop_factory=loop_factory) < seconds / 2


async def _checkout(free: list[int]) -> int:
    return free.pop()


async def _own_coroutines(free: list[int]) -> None:
    # What is checked still holds after an await of the program's own coroutine, which does not suspend.
    if free:
        burn(0.0015)
        taken = await _checkout(free)
        burn(0.0015)
        free.append(taken)


async def _inside_a_lock(lock: threading.Lock, queue: asyncio.Queue[int]) -> None:
    with lock:
        for _ in range(20):
            await queue.put(await queue.get())
            burn(0.001)


async def _rows(lock: threading.Lock) -> AsyncIterator[int]:
    with lock:
        for number in range(20):
            yield number


async def _over_a_generator_that_holds_a_lock(lock: threading.Lock) -> None:
    async for _ in _rows(lock):
        burn(0.001)


async def _row(queue: asyncio.Queue[int]) -> int:
    await queue.put(await queue.get())
    burn(0.0005)
    return 1


async def _render(queue: asyncio.Queue[int]) -> list[int]:
    return [await _row(queue) for _ in range(20)]


def _drive_by_hand(lock: threading.Lock, queue: asyncio.Queue[int]) -> object:
    with lock:
        try:
            _render(queue).send(None)
        except StopIteration as stop:
            return stop.value
        raise RuntimeError("the coroutine was left in its middle")


class _Sorted:
    """What is awaited is C code that calls Python code."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows

    def __await__(self) -> Any:
        return iter(functools.partial(self.rows.sort, key=self._cost), None)

    @staticmethod
    def _cost(row: int) -> int:
        return -sum(number for number in range(100)) * row


def _never_left(
    work: Callable[[], Coroutine[Any, Any, object]], loop_factory: LoopFactory, is_wrong: Callable[[], bool]
) -> None:
    """Repeat the work in three tasks until requests came to nothing, and look whether it was ever left in its middle."""

    async def repeat(began: float) -> None:
        # On a busy machine it takes longer until one is asked.
        while time.perf_counter() < began + (WITHIN_S if gave_up() == 0 else 1):
            for _ in range(10):
                await work()
            await asyncio.sleep(0)

    async def main() -> None:
        tasks = [asyncio.create_task(repeat(time.perf_counter())) for _ in range(3)]
        while not all(task.done() for task in tasks):
            assert not is_wrong()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        # The danger: steps lasted so long that they were asked.
        assert gave_up() > 0

    pulse.run(main(), loop_factory=loop_factory)


def test_own_coroutines_are_not_left(loop_factory: LoopFactory) -> None:
    free = [1]
    _never_left(lambda: _own_coroutines(free), loop_factory, lambda: len(free) != 1)


def test_nothing_is_left_inside_a_lock(loop_factory: LoopFactory) -> None:
    lock, queue = threading.Lock(), asyncio.Queue[int]()
    queue.put_nowait(1)
    _never_left(lambda: _inside_a_lock(lock, queue), loop_factory, lock.locked)


def test_a_generator_that_holds_a_lock_is_not_left(loop_factory: LoopFactory) -> None:
    lock = threading.Lock()
    _never_left(lambda: _over_a_generator_that_holds_a_lock(lock), loop_factory, lock.locked)


def test_a_coroutine_that_is_driven_by_hand_is_not_left(loop_factory: LoopFactory) -> None:
    lock, queue = threading.Lock(), asyncio.Queue[int]()
    queue.put_nowait(1)

    async def work() -> None:
        assert _drive_by_hand(lock, queue) == [1] * 20

    _never_left(work, loop_factory, lock.locked)


def test_c_code_behind_an_await_is_not_left(loop_factory: LoopFactory) -> None:
    rows = list(range(1000))

    async def work() -> None:
        await _Sorted(rows)

    _never_left(work, loop_factory, lambda: not rows)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_the_first_step_of_an_eager_task_is_not_left() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    queue.put_nowait(1)

    async def child() -> asyncio.Task[Any] | None:
        for _ in range(3):
            await _render(queue)
        return asyncio.current_task()

    async def parent(began: float) -> None:
        me, loop = asyncio.current_task(), asyncio.get_running_loop()
        while time.perf_counter() < began + (WITHIN_S if gave_up() == 0 else 1):
            task = asyncio.Task(child(), loop=loop, eager_start=True)
            assert task.done()
            assert task.result() is task
            assert asyncio.current_task() is me
            await asyncio.sleep(0)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        pulse.install()
        await asyncio.get_running_loop().create_task(parent(time.perf_counter()))
        assert gave_up() > 0
        pulse.uninstall()

    asyncio.run(main())


async def over_a_queue_after_a_fork(end: float) -> None:
    # The fork stops our threads, and no other poll begins that could start them again.
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    await over_a_queue(end)


@pytest.mark.timing
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_step_that_forks_is_still_left(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        await asyncio.gather(over_a_queue_after_a_fork(time.thread_time() + 0.4))
        assert preemptions() > 5

    pulse.run(main(), loop_factory=loop_factory)


@pytest.mark.timing
def test_a_loop_that_mostly_waits_is_hardly_looked_at(loop_factory: LoopFactory) -> None:
    async def looks(until: Callable[[float], Coroutine[Any, Any, object]]) -> int:
        before = _core.preemption_facts()["wake_ups"]
        await until(time.perf_counter() + 0.4)
        return _core.preemption_facts()["wake_ups"] - before

    async def wait(end: float) -> None:
        while time.perf_counter() < end:
            await asyncio.sleep(0.01)

    async def compute(end: float) -> None:
        while time.perf_counter() < end:
            burn(0.005)
            await asyncio.sleep(0)

    async def main() -> None:
        assert await looks(wait) < await looks(compute) / 2

    pulse.run(main(), loop_factory=loop_factory)


@pytest.mark.timing
def test_a_program_that_takes_the_signal_gets_it_hardly_ever(loop_factory: LoopFactory) -> None:
    strays: list[int] = []

    async def main() -> None:
        await asyncio.gather(over_a_queue(time.thread_time() + 0.1))
        before = preemptions()
        assert before > 0
        earlier = signal.signal(signal.SIGURG, lambda number, frame: strays.append(number))
        try:
            for _ in range(5):
                await asyncio.gather(over_a_queue(time.thread_time() + 0.1))
            # The first long step notices it; later ones are asked by another signal.
            assert preemptions() > before + 4
            assert 0 < len(strays) <= 5
        finally:
            signal.signal(signal.SIGURG, signal.SIG_DFL if earlier is _core.on_preempt_signal else earlier)

    pulse.run(main(), loop_factory=loop_factory)


def _overlong_step() -> None:
    before, end = gave_up(), time.perf_counter() + WITHIN_S
    while gave_up() == before and time.perf_counter() < end:
        burn(0.002)


def test_nothing_is_searched_for_after_preemption_has_stopped(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        _overlong_step()
        preemption.stop()
        # A crash, if the search for an await went on: a coroutine begins.
        await asyncio.sleep(0)

    pulse.run(main(), loop_factory=loop_factory)


def test_the_wake_up_descriptor_comes_back_if_another_thread_stops_preemption(loop_factory: LoopFactory) -> None:
    async def overlong() -> None:
        # The descriptor is diverted until this poll ends.
        _overlong_step()
        thread = threading.Thread(target=preemption.stop)
        thread.start()
        thread.join()

    async def main() -> None:
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, heard.set)
        await asyncio.create_task(overlong())
        # Nothing else wakes the loop.
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        try:
            async with asyncio.timeout(WITHIN_S / 10):
                await heard.wait()
        finally:
            loop.remove_signal_handler(signal.SIGUSR1)

    pulse.run(main(), loop_factory=loop_factory)
    preemption.stop()
