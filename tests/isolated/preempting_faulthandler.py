"""faulthandler dumps what runs, by its timer and by a signal, while coroutines are left in the middle of their code."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import tempfile
import time

import asyncio_pulse as pulse

if "asan" in os.environ.get("LD_PRELOAD", ""):
    # Not tried under the address sanitizer.
    print("ok")
    sys.exit()

MANY = 20_000 if os.environ.get("ASYNCIO_PULSE_STRESS") == "1" else 1_000


def inner(done: asyncio.Event) -> None:
    for _ in range(1_000):
        if done.is_set():
            return
    signal.raise_signal(signal.SIGUSR1)


async def computing(done: asyncio.Event) -> None:
    while not done.is_set():
        inner(done)


async def main() -> None:
    done = asyncio.Event()
    tasks = [pulse.spawn(computing(done), preemptible=True) for _ in range(3)]
    while pulse.get_manager().get_metrics().preemptions < MANY:
        await asyncio.sleep(0)
    # Of a thread that runs on meanwhile the timer would read frames that change. The tasks stand in the middle of theirs.
    faulthandler.dump_traceback_later(0.05, file=by_timer)
    end = time.monotonic() + 30
    while not os.fstat(by_timer.fileno()).st_size and time.monotonic() < end:
        time.sleep(0.01)
    # For the rest of it.
    time.sleep(0.2)
    done.set()
    await asyncio.gather(*tasks)


with tempfile.TemporaryFile("w+") as by_signal, tempfile.TemporaryFile("w+") as by_timer:
    # Of this thread alone: the frames of others may change while they are written.
    faulthandler.register(signal.SIGUSR1, by_signal, all_threads=False)
    pulse.run(main(), config=pulse.TierConfig(poll_budget_us=50))
    faulthandler.unregister(signal.SIGUSR1)
    by_signal.seek(0)
    by_timer.seek(0)
    dumped, timed = by_signal.read(), by_timer.read()
assert dumped.count(" in inner\n") > 10, dumped[:2000]
# Beneath each call is its coroutine, whether it was left before or not.
assert dumped.count(" in inner\n") == dumped.count(" in computing\n"), dumped[:2000]
assert " in main\n" in timed, timed[:2000]
print("ok")
