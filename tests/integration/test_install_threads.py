"""Several loops at once, each with its worker number; thousands one after another, with bounded memory."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import psutil

import asyncio_pulse as pulse
from tests.conftest import UNDER_ASAN
from tests.isolated.measuring import rounds
from tests.support.loops import LoopFactory

THREADS = 4
MANY = rounds(short=700, long=5_000)


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_each_worker_counts_its_own(loop_factory: LoopFactory) -> None:
    together = threading.Barrier(THREADS)

    def work(number: int) -> tuple[int, int, int]:
        async def main() -> None:
            together.wait(timeout=10)
            await asyncio.gather(*(steps(100 * number) for _ in range(10)))

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            manager = pulse.install(loop=runner.get_loop())
            runner.run(main())
            # No loop may end, and give its number to another, before all have begun.
            together.wait(timeout=10)
            polls = manager.get_worker_metrics(manager.worker_id).polls
            assert polls == manager.get_metrics().polls
            pulse.uninstall(loop=runner.get_loop())
        return number, manager.worker_id, polls

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(work, range(1, THREADS + 1)))
    assert sorted(worker for _, worker, _ in results) == list(range(THREADS))
    # Ten children, each a first poll and one for each step; main has two.
    assert [polls for *_, polls in results] == [10 * (100 * number + 1) + 2 for number in range(1, THREADS + 1)]


def test_a_number_is_given_again(loop_factory: LoopFactory) -> None:
    loops = [loop_factory() for _ in range(3)]
    first, second, third = (pulse.install(loop=loop).worker_id for loop in loops)
    assert (first, second, third) == (0, 1, 2)
    pulse.uninstall(loop=loops[1])
    assert pulse.install(loop=loops[1]).worker_id == 1
    loops[0].close()
    another = loop_factory()
    assert pulse.install(loop=another).worker_id == 0
    for loop in (*loops, another):
        pulse.uninstall(loop=loop)
        loop.close()


def test_one_loop_moves_from_thread_to_thread(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    manager = pulse.install(loop=loop)
    for _ in range(5):
        thread = threading.Thread(target=loop.run_until_complete, args=(steps(3),))
        thread.start()
        thread.join()
    loop.run_until_complete(steps(3))
    assert manager.get_metrics().polls == 6 * 4
    pulse.uninstall(loop=loop)
    loop.close()


def open_and_close(make_loop: LoopFactory, rounds: int, uninstall: bool) -> set[int]:
    numbers = set()
    for _ in range(rounds):
        loop = make_loop()
        numbers.add(pulse.install(loop=loop).worker_id)
        loop.run_until_complete(steps(1))
        if uninstall:
            pulse.uninstall(loop=loop)
        loop.close()
    return numbers


def test_thousands_of_loops_one_after_another(loop_factory: LoopFactory) -> None:
    process = psutil.Process()
    for uninstall in (True, False):
        assert open_and_close(loop_factory, 200, uninstall) == {0}
        gc.collect()
        before = process.memory_info().rss
        assert open_and_close(loop_factory, MANY, uninstall) == {0}
        gc.collect()
        grown = process.memory_info().rss - before
        # One governor with its groups is some 20 KiB. The address sanitizer keeps what is free.
        assert UNDER_ASAN or grown < MANY * 4 * 1024


def test_many_threads_open_and_close(loop_factory: LoopFactory) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        jobs = [pool.submit(open_and_close, loop_factory, 100, bool(number % 2)) for number in range(THREADS)]
        numbers = set().union(*(job.result() for job in jobs))
    assert max(numbers) < THREADS
