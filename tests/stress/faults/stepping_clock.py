"""The core's clock steps back and forth by up to an hour under load: every task ends, and is counted."""

from __future__ import annotations

import asyncio
import logging
import time

from asyncio_pulse.lowlevel import clock_info
from tests.isolated.measuring import rounds
from tests.stress.behaviours import config, mixed
from tests.stress.books import Books
from tests.stress.census import unchanged
from tests.stress.figures import Figures
from tests.stress.loops import governed, kinds
from tests.support.loops import LoopFactory

TASKS, STEPS, TIMES = 60, 10, rounds(short=3, long=60)
HOUR_NS = 3_600 * 10**9
logging.disable(logging.CRITICAL)


async def load(books: Books, times: int) -> None:
    books.enter(asyncio.current_task())
    for turn in range(times):
        tasks = [books.spawn(coro, group=group, preemptible=True) for group, coro in mixed(TASKS, STEPS, seed=turn)]
        assert await asyncio.gather(*tasks) == [STEPS] * TASKS


def run(make_loop: LoopFactory, times: int) -> int:
    figures, books, began = Figures(), Books(), time.thread_time_ns()
    with governed(make_loop, config()) as (runner, manager):
        runner.run(load(books, times))
    books.check(manager)
    figures.add(manager)
    metrics = manager.get_metrics()
    # Steps forward are time off the processor, whoever was running: nobody computed for an hour.
    assert metrics.cpu_time_ns < 2 * (time.thread_time_ns() - began) + HOUR_NS // 1000
    figures.print(f"a clock that steps; polls of {metrics.wall_time_ns / HOUR_NS:.0f} hours")
    return metrics.wall_time_ns


assert not clock_info()["uses_tsc"]
for each in kinds():
    run(each, 1)
    with unchanged():
        assert run(each, TIMES) > HOUR_NS / 4
print("ok")
