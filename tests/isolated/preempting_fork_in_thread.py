"""A thread forks a process that preempts. The child preempts on, or says why it cannot; the parent preempts on."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
import traceback
import warnings

import asyncio_pulse as pulse

if "asan" in os.environ.get("LD_PRELOAD", ""):
    # Not tried under the address sanitizer.
    print("ok")
    sys.exit()

CONFIG = pulse.TierConfig(poll_budget_us=500)
HANDLERS_ARE_CALLED = sys.version_info < (3, 13)
said: list[str] = []


class Noting(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        said.append(record.getMessage())


async def computing(done: asyncio.Event) -> None:
    while not done.is_set():
        pass


async def computing_for(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


async def until_preempted(times: int) -> None:
    before = pulse.get_manager().get_metrics().preemptions
    while pulse.get_manager().get_metrics().preemptions < before + times:
        await asyncio.sleep(0)


async def main_of_child() -> None:
    await pulse.spawn(computing_for(0.5), preemptible=True)
    assert (pulse.get_manager().get_metrics().preemptions > 0) == HANDLERS_ARE_CALLED


def fork() -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            pulse.run(main_of_child(), config=CONFIG)
            warned = [text for text in said if "nothing is preempted" in text and "a thread has forked" in text]
            assert len(warned) == (not HANDLERS_ARE_CALLED), said
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


async def main() -> None:
    done = asyncio.Event()
    task = pulse.spawn(computing(done), preemptible=True)
    await until_preempted(10)
    assert await asyncio.to_thread(fork) == 0
    await until_preempted(10)
    done.set()
    await task


# Python warns of a process with two threads that forks.
warnings.simplefilter("ignore", DeprecationWarning)
logging.getLogger("asyncio_pulse").addHandler(Noting())
pulse.run(main(), config=CONFIG)
print("ok")
