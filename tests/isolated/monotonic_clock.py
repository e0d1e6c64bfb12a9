"""With the processor's counter refused, everything is counted as with it."""

from __future__ import annotations

import os

os.environ["ASYNCIO_PULSE_CLOCK"] = "monotonic"

import asyncio
import time

import asyncio_pulse as pulse
from asyncio_pulse.lowlevel import clock_info


async def burn() -> None:
    end = time.thread_time() + 0.05
    while time.thread_time() < end:
        pass


async def main() -> None:
    start = time.perf_counter_ns()
    await asyncio.create_task(burn())
    for _ in range(10):
        await asyncio.sleep(0)
    manager = pulse.get_manager()
    elapsed = time.perf_counter_ns() - start
    metrics = manager.get_metrics()
    assert (metrics.polls, metrics.violations, metrics.tasks) == (12, 1, 2)
    [group] = [group for group in manager.groups() if group.name == "burn"]
    assert 50_000_000 <= group.wall_time_ns <= elapsed
    assert group.cpu_time_ns >= 49_000_000
    assert group.max_ns <= group.histogram.percentile(100) <= group.max_ns * 1.125


assert not clock_info()["uses_tsc"]
# So generous that no plain poll breaks it, not even where every instruction is watched.
pulse.run(main(), config=pulse.TierConfig(poll_budget_us=40_000))
print("ok")
