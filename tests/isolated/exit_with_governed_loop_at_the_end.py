"""A loop is governed by a function that runs at the interpreter's end, after the core has cleaned up."""

from __future__ import annotations

import asyncio
import atexit
import time

kept = []


def govern_late() -> None:
    import asyncio_pulse as pulse

    async def last_words() -> None:
        end = time.perf_counter() + 0.2
        while time.perf_counter() < end:
            pass
        await asyncio.sleep(0)

    loop = pulse.new_event_loop()
    kept.append(loop)
    loop.run_until_complete(last_words())
    assert pulse.get_manager(loop=loop).get_metrics().polls == 2
    kept.append(loop.create_task(asyncio.sleep(1000)))
    loop.set_exception_handler(lambda loop, context: None)
    loop.run_until_complete(asyncio.sleep(0))
    print("ok")


# Registered before the core's own function, so that it runs after it.
atexit.register(govern_late)

import asyncio_pulse  # noqa: E402, F401
