"""A program under load that ends in the way that its argument names; `test_faults.py` looks at what becomes of it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading

import asyncio_pulse as pulse
from tests.stress.behaviours import config, mixed
from tests.stress.loops import kinds

logging.disable(logging.CRITICAL)
way, make_loop = sys.argv[1], kinds()[int(sys.argv[2])]


async def load(started: threading.Event) -> None:
    while True:
        tasks = [pulse.spawn(coro, group=group, preemptible=True) for group, coro in mixed(40, 3)]
        await asyncio.sleep(0.01)
        started.set()
        await asyncio.gather(*tasks)


def run_beside(started: threading.Event) -> None:
    pulse.run(load(started), config=config(), loop_factory=make_loop)


async def end() -> None:
    loading = asyncio.create_task(load(threading.Event()))
    await asyncio.sleep(0.1)
    print("ends", flush=True)
    if way == "exits":
        sys.exit(3)
    if way == "is interrupted":
        os.kill(os.getpid(), signal.SIGINT)
        await loading
    if way == "is terminated":
        os.kill(os.getpid(), signal.SIGTERM)
        await loading
    if way == "raises":
        raise LookupError("wanted")


beside = [threading.Event() for _ in range(2)]
for event in beside:
    threading.Thread(target=run_beside, args=[event], daemon=True).start()
for event in beside:
    event.wait()
pulse.run(end(), config=config(), loop_factory=make_loop)
