"""A program stops tracemalloc while its loop is held, and so while the watchdog asks for the GIL."""

import asyncio
import time
import tracemalloc

import asyncio_pulse as pulse


def trace_for_a_moment() -> None:
    tracemalloc.start()
    kept = [bytearray(100) for _ in range(200)]
    until = time.perf_counter() + 0.003
    while time.perf_counter() < until:
        pass
    tracemalloc.stop()
    assert len(kept) == 200


async def hold_the_loop() -> None:
    end = time.perf_counter() + 0.2
    while time.perf_counter() < end:
        trace_for_a_moment()


async def main() -> None:
    manager = pulse.get_manager()
    for _ in range(20):
        await asyncio.create_task(hold_the_loop())
        await asyncio.sleep(0)
    assert manager.report().stalls, "the watchdog never asked for the GIL"


pulse.run(main(), config=pulse.TierConfig(mode="observe"))
print("ok")
