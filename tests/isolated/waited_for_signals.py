"""A program blocks a signal and waits for it: what is sent to the process does not reach a thread of ours, and end it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import uvloop

import asyncio_pulse as pulse

# Preemption was not tried under the address sanitizer.
PREEMPTS = "asan" not in os.environ.get("LD_PRELOAD", "")
WAITED_FOR = {signal.SIGUSR1, signal.SIGTERM, signal.SIGRTMIN}


def threads_of_ours() -> int:
    return sum(each.read_text().startswith("pulse") for each in Path("/proc/self/task").glob("*/comm"))


async def compute() -> None:
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass


async def main() -> None:
    # Then the thread that preempts runs, too.
    await pulse.spawn(compute(), preemptible=PREEMPTS)
    if sys.platform == "linux":
        assert threads_of_ours() == 1 + PREEMPTS
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
    for number in sorted(WAITED_FOR):
        os.kill(os.getpid(), number)
        assert signal.sigwait({number}) == number
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


for make_loop in (asyncio.new_event_loop, uvloop.new_event_loop):
    pulse.run(main(), loop_factory=make_loop)
print("ok")
