"""Over many loops nothing grows: neither memory, nor what one more loop costs, nor the report.

Each loop brings groups, tasks, offenders, places and hooks that were never there before.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable

import measuring

import asyncio_pulse as pulse
from asyncio_pulse.lowlevel import PreemptionHooks, process_report
from asyncio_pulse.runtime import ledger, sums
from asyncio_pulse.runtime.workers import WORKERS

LOOPS = measuring.rounds(short=1_250, long=10_000)
CONFIG = pulse.TierConfig(poll_budget_us=50)
PART = LOOPS // 5


SOURCE = """
async def work():
    end = time.thread_time() + 0.0003
    while time.thread_time() < end:
        pass
"""


class Hooks(PreemptionHooks):
    def __init__(self, manager: pulse.TierManager) -> None:
        self.manager = manager
        self.payload = bytearray(10_000)


def new_function(number: int) -> object:
    names: dict[str, object] = {"time": time}
    exec(compile(SOURCE, f"file {number}.py", "exec"), names)
    return names["work"]


async def plain() -> None:
    for _ in range(5):
        await asyncio.create_task(asyncio.sleep(0))


async def main(number: int) -> None:
    manager = pulse.get_manager()
    if number % 10 == 0:
        manager.hooks.register(Hooks(manager))
    for tenant in range(4):
        await pulse.spawn(asyncio.sleep(0), group=f"tenant {number}.{tenant}")
    if number % 20 == 0:
        work = new_function(number)
        work.__qualname__ = f"work {number}"
        await asyncio.create_task(work())


def cpu_time_of(run: Callable[[], object]) -> float:
    begin = time.thread_time()
    run()
    return time.thread_time() - begin


def run_loop(number: int) -> None:
    pulse.run(main(number), config=CONFIG)


def costs_of_loops(first: int, count: int) -> list[float]:
    """Run so many; what each cost as a multiple of a plain loop's next to it, for other processes slow both down."""
    return [
        cpu_time_of(lambda number=number: run_loop(number)) / cpu_time_of(lambda: asyncio.run(plain()))
        for number in range(first, first + count)
    ]


def run_loops(first: int, count: int) -> None:
    for number in range(first, first + count):
        run_loop(number)


def memory_now() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


# Keeps the core's threads running, whose start and end are not what is measured.
other = pulse.new_event_loop()
other.run_until_complete(asyncio.sleep(0))
early = costs_of_loops(0, PART)[PART // 2 :]
late = costs_of_loops(PART, 2 * PART)[-PART // 2 :]
# Never stopped: before 3.12.9 that races with threads that allocate without the GIL, such as the core's.
tracemalloc.start()
# Every group that was there when the tracing began has to make room.
run_loops(3 * PART, PART)
before = memory_now()
run_loops(4 * PART, LOOPS - 4 * PART)
grown = memory_now() - before

report = process_report()
assert report.loops == LOOPS + 1, report.loops
assert sum(group.tasks for group in report.groups if group.explicit or group.name == "(other)") > LOOPS
assert len(report.groups) <= ledger.MOST_GROUPS + 1, len(report.groups)
assert len(report.worst_polls) <= sums.MOST_PLACES
assert len(report.tier_changes) <= sums.MOST_CHANGES
assert len(report.workers) == len(report.loop_metrics) == len(WORKERS.all_metrics()) == 2
gc.collect()
assert not [each for each in gc.get_objects() if type(each) is Hooks]
# What one more loop leaves behind would be at least a thousand times a hundred bytes.
assert grown < 300_000, grown
assert statistics.median(late) < 1.5 * statistics.median(early), (statistics.median(early), statistics.median(late))
pulse.uninstall(loop=other)
other.close()

print("ok")
