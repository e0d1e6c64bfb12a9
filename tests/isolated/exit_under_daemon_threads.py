"""The interpreter ends while daemon threads run governed loops, one of them in a poll that never ends."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import asyncio_pulse as pulse

CONFIG = pulse.TierConfig(slow_poll_threshold_ms=1)


async def keep_busy(started: threading.Event) -> None:
    started.set()
    while True:
        await asyncio.gather(*[asyncio.create_task(asyncio.sleep(0)) for _ in range(10)])


async def never_end_a_poll(started: threading.Event) -> None:
    started.set()
    while True:
        sum(range(1000))


async def block(started: threading.Event) -> None:
    started.set()
    time.sleep(1000)


def start(main: object) -> None:
    def run() -> None:
        with contextlib.suppress(SystemExit):
            pulse.run(main(started), config=CONFIG)  # type: ignore[operator]

    started = threading.Event()
    threading.Thread(target=run, daemon=True).start()
    started.wait()


for each in (keep_busy, never_end_a_poll, block):
    start(each)
# The sampler is looking at the polls that last.
time.sleep(0.3)
print("ok")
