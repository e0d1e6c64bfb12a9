"""Governed loops in threads, one after another and side by side, each count their own."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import measuring

import asyncio_pulse as pulse
from asyncio_pulse import errors

THREADS = 8
# All loops are there at once, so every round has as many workers.
all_there = threading.Barrier(THREADS)


async def work(polls: int) -> None:
    for _ in range(polls - 1):
        await asyncio.sleep(0)


def run_one(number: int, found: dict[int, int]) -> None:
    factory = pulse.new_event_loop
    if number % 2:
        with contextlib.suppress(errors.UnavailableError):
            pulse.new_uvloop_event_loop().close()
            factory = pulse.new_uvloop_event_loop
    loop = factory()
    all_there.wait()
    loop.run_until_complete(work(100 + number))
    all_there.wait()
    found[number] = pulse.get_manager(loop=loop).get_metrics().polls
    pulse.uninstall(loop=loop)
    loop.close()


def side_by_side(times: int) -> None:
    for _ in range(times):
        found: dict[int, int] = {}
        threads = [threading.Thread(target=run_one, args=(number, found)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {number: 100 + number for number in range(THREADS)}


def one_loop_moves_between_threads() -> None:
    loop = pulse.new_event_loop()
    for _ in range(50):
        thread = threading.Thread(target=lambda: loop.run_until_complete(work(10)))
        thread.start()
        thread.join()
        loop.run_until_complete(work(10))
    assert pulse.get_manager(loop=loop).get_metrics().polls == 1000
    assert 0 in pulse.get_manager(loop=loop).get_all_worker_metrics()
    pulse.uninstall(loop=loop)
    loop.close()


def installed_from_another_thread_while_it_runs() -> None:
    loop = asyncio.new_event_loop()
    installed, stopped = threading.Event(), threading.Event()

    async def run_on() -> None:
        while not installed.is_set():
            await asyncio.sleep(0)
        await asyncio.create_task(work(25))
        while not stopped.is_set():
            await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run_on()))
    thread.start()
    manager = pulse.install(loop=loop)
    installed.set()
    while manager.get_metrics().tasks_alive or manager.get_metrics().polls < 25:
        pass
    pulse.uninstall(loop=loop)
    stopped.set()
    thread.join()
    assert (manager.get_metrics().polls, manager.get_metrics().tasks) == (25, 1)
    loop.close()


measuring.assert_memory_is_bounded(side_by_side, measuring.rounds(short=20, long=500), 2_000_000)
one_loop_moves_between_threads()
installed_from_another_thread_while_it_runs()
measuring.wait_for_core_threads(0)
print("ok")
