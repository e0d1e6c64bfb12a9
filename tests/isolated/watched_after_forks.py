"""A fork does not blind the watchdog: neither in the poll that forked, nor in the first step of a loop of the child."""

from __future__ import annotations

import asyncio
import importlib.util
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable

import asyncio_pulse as pulse

# In a process with one thread a fork is no reason for Python to warn of deadlocks.
warnings.simplefilter("error")
BLOCK_S = 1.0


def places(manager: pulse.TierManager) -> set[str]:
    return {frame.function.rpartition(".")[2] for stall in manager.report().stalls for frame in stall.stack}


def forks() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def starts_a_process() -> None:
    process = multiprocessing.get_context("fork").Process(target=os.getpid)
    process.start()
    process.join()


async def goes_on_in_the_poll(fork: Callable[[], None]) -> None:
    fork()
    time.sleep(BLOCK_S)


async def goes_on_in_a_callback(fork: Callable[[], None]) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def callback() -> None:
        fork()
        time.sleep(BLOCK_S)
        over.set()

    loop.call_soon(callback)
    await over.wait()


async def first_step() -> None:
    time.sleep(BLOCK_S)


def run(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    loop = new_loop()
    manager = pulse.install(loop=loop)
    for main, name in ((goes_on_in_the_poll, "goes_on_in_the_poll"), (goes_on_in_a_callback, "callback")):
        for fork in (forks, starts_a_process):
            before = sum(stall.count for stall in manager.report().stalls)
            loop.run_until_complete(main(fork))
            loop.run_until_complete(asyncio.sleep(0.2))
            assert name in places(manager), (name, fork, manager.report().stalls)
            assert sum(stall.count for stall in manager.report().stalls) > before, (name, fork)
    child = os.fork()
    if child == 0:
        # The loop of the parent, which did not run during the fork, and a new one.
        loop.run_until_complete(first_step())
        loop.run_until_complete(asyncio.sleep(0.2))
        assert places(manager) == {"first_step"}, manager.report().stalls
        managers: list[pulse.TierManager] = []

        async def main() -> None:
            managers.append(pulse.get_manager())
            await first_step()
            await asyncio.sleep(0.2)

        pulse.run(main(), loop_factory=new_loop)
        assert "first_step" in places(managers[0]), managers[0].report().stalls
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    pulse.uninstall(loop=loop)
    loop.close()


run(asyncio.new_event_loop)
if importlib.util.find_spec("uvloop") is not None:
    import uvloop

    run(uvloop.new_event_loop)
print("ok")
