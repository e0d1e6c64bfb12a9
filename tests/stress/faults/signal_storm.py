"""Hundreds of signals a second, from a timer and from another process: the program hears them, and goes on."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys

from tests.isolated.measuring import rounds
from tests.stress.behaviours import config, mixed
from tests.stress.books import Books
from tests.stress.census import unchanged
from tests.stress.figures import Figures
from tests.stress.loops import governed, kinds
from tests.support.loops import LoopFactory

TASKS, STEPS = 60, 6
TIMES = rounds(short=2, long=60)
logging.disable(logging.CRITICAL)
STORM = """
import os, signal, sys, time
while os.getppid() == int(sys.argv[1]):
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGURG):
        os.kill(int(sys.argv[1]), number)
    time.sleep(0.005)
"""


async def load(books: Books, heard: dict[str, int], times: int) -> None:
    books.enter(asyncio.current_task())
    loop = asyncio.get_running_loop()

    def hear() -> None:
        heard["loop"] += 1

    loop.add_signal_handler(signal.SIGUSR1, hear)
    for turn in range(times):
        tasks = [books.spawn(coro, group=group, preemptible=True) for group, coro in mixed(TASKS, STEPS, seed=turn)]
        assert await asyncio.gather(*tasks) == [STEPS] * TASKS
    # The loop leaves the default action, which would end the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    loop.remove_signal_handler(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})


def run(make_loop: LoopFactory, times: int) -> None:
    figures, books = Figures(), Books()
    heard = {"loop": 0, "handler": 0, "timer": 0}

    def count(name: str) -> object:
        def handle(number: int, frame: object) -> None:
            heard[name] += 1

        return handle

    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, count("handler"))  # type: ignore[arg-type]
    signal.signal(signal.SIGALRM, count("timer"))  # type: ignore[arg-type]
    wakeup = signal.set_wakeup_fd(-1)
    assert wakeup == -1
    storm = subprocess.Popen([sys.executable, "-c", STORM, str(os.getpid())])
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    try:
        with governed(make_loop, config()) as (runner, manager):
            while heard["handler"] == 0:
                pass
            runner.run(load(books, heard, times))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        storm.kill()
        storm.wait()
    assert min(heard.values()) > 0
    assert signal.set_wakeup_fd(-1) == -1
    books.check(manager)
    figures.add(manager)
    figures.print(f"a storm of signals, heard: {heard}")
    assert figures.preemptions > 0


for each in kinds():
    run(each, 1)
    with unchanged():
        run(each, TIMES)
print("ok")
