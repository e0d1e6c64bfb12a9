"""Ctrl-C ends a program whose coroutines never await, at the first time, and their clean-up is run."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import asyncio_pulse as pulse

if "asan" in os.environ.get("LD_PRELOAD", ""):
    # Not tried under the address sanitizer.
    print("ok")
    sys.exit()

ROUNDS = 30 if os.environ.get("ASYNCIO_PULSE_STRESS") == "1" else 5
cleaned: list[int] = []


async def computing(number: int) -> None:
    try:
        while True:
            pass
    finally:
        cleaned.append(number)


async def main(ready: threading.Event) -> None:
    for number in range(3):
        pulse.spawn(computing(number), preemptible=True)
    while pulse.get_manager().get_metrics().preemptions < 200:
        await asyncio.sleep(0)
    ready.set()
    await asyncio.sleep(60)


def interrupt(ready: threading.Event) -> None:
    ready.wait()
    time.sleep(0.005)
    os.kill(os.getpid(), signal.SIGINT)


def one_run(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    cleaned.clear()
    ready = threading.Event()
    thread = threading.Thread(target=interrupt, args=(ready,))
    thread.start()
    try:
        pulse.run(main(ready), config=pulse.TierConfig(poll_budget_us=50), loop_factory=new_loop)
    except KeyboardInterrupt:
        assert sorted(cleaned) == [0, 1, 2], cleaned
    else:
        raise AssertionError("it was not interrupted")
    thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGURG) is signal.SIG_DFL


factories: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop]
try:
    import uvloop
except ImportError:
    pass
else:
    factories.append(uvloop.new_event_loop)
signal.signal(signal.SIGINT, signal.default_int_handler)
for factory in factories:
    for _ in range(ROUNDS):
        one_run(factory)
print("ok")
