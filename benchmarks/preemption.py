"""The cost of preemption: armed polls, arming, throughput of preempted tasks; and the fairness of shares."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
import tracemalloc

import greenlet

import asyncio_pulse as pulse

from .hogs import hog, run, work
from .loops import loop_factories
from .method import Figure, on_processor

__all__ = ["measure"]

RUNS = 5
SECONDS = 2.0
# The quanta of deficit round robin.
HIGH_TO_LOW = 3.0


def _throughput() -> list[Figure]:
    """Measure CPU time of five hogs that are suspended every 2 ms, against the same work without suspension."""
    rounds = 400_000

    async def five_of_these() -> int:
        return work(rounds)

    async def main(preemptible: bool) -> float:
        began = time.thread_time()
        await asyncio.gather(*(pulse.spawn(five_of_these(), preemptible=preemptible) for _ in range(5)))
        return time.thread_time() - began

    figures = []
    for name, factory in loop_factories().items():
        costs = []
        for _ in range(3 * RUNS):
            bare = run(factory, main(False), poll_budget_us=2000)
            preempted = run(factory, main(True), poll_budget_us=2000)
            costs.append((preempted / bare - 1) * 100)
        figures.append(Figure.of(f"{name}: throughput lost by hogs at 2 ms", "%", costs, 3.0))
    return figures


def _armed_poll() -> list[Figure]:
    """Measure an armed poll beyond a governed one, and arming, in time and memory."""
    yields, tasks = 2000, 200

    async def spin(count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def polls(preemptible: bool) -> float:
        began = time.thread_time()
        await pulse.spawn(spin(yields), preemptible=preemptible)
        return (time.thread_time() - began) / yields * 1e9

    async def births(preemptible: bool) -> float:
        began = time.thread_time()
        await asyncio.gather(*(pulse.spawn(spin(0), preemptible=preemptible) for _ in range(tasks)))
        return (time.thread_time() - began) / tasks * 1e6

    async def memory(preemptible: bool) -> float:
        tracemalloc.start()
        # A greenlet's stack is outside Python's allocators, so only its objects are counted here.
        spawned = [pulse.spawn(spin(3), preemptible=preemptible) for _ in range(tasks)]
        await asyncio.sleep(0)
        used = tracemalloc.get_traced_memory()[0] / tasks / 1024
        tracemalloc.stop()
        await asyncio.gather(*spawned)
        return used

    figures = []
    for name, factory in loop_factories().items():
        for what, unit, bound, measured in (
            ("armed poll", "ns", 400.0, polls),
            ("arming a task", "us", 4.0, births),
            ("arming a task, memory", "KiB", 6.0, memory),
        ):
            values = [
                run(factory, measured(True), poll_budget_us=2000) - run(factory, measured(False), poll_budget_us=2000)
                for _ in range(3 * RUNS)
            ]
            figures.append(Figure.of(f"{name}: {what}", unit, values, bound))
    return figures


def _greenlet_floor() -> Figure:
    """Measure a switch of greenlet itself, there and back. An armed poll contains one."""
    switches = 20_000
    outside = greenlet.getcurrent()

    def give_back() -> None:
        while True:
            outside.switch()

    def there_and_back() -> float:
        inside = greenlet.greenlet(give_back)
        inside.switch()
        switch = inside.switch
        began = time.thread_time()
        for _ in range(switches):
            switch()
        return (time.thread_time() - began) / switches * 1e9

    return Figure.of("greenlet alone, there and back", "ns", [there_and_back() for _ in range(3 * RUNS)])


def _shares() -> list[Figure]:
    """Measure the smallest share of ten equal hogs, against the median."""

    async def main() -> float:
        until = time.perf_counter() + SECONDS
        rounds = await asyncio.gather(*(pulse.spawn(hog(until), preemptible=True) for _ in range(10)))
        return (1 - min(rounds) / statistics.median(rounds)) * 100

    return [
        Figure.of(
            f"{name}: least of ten equal hogs below the median",
            "%",
            [run(factory, main(), poll_budget_us=2000) for _ in range(RUNS)],
            5.0,
        )
        for name, factory in loop_factories().items()
    ]


def _weights() -> list[Figure]:
    """Measure how far the CPU time of HIGH and LOW hogs is from their weights under deficit round robin."""

    async def main() -> float:
        until = time.perf_counter() + SECONDS
        tasks = [
            pulse.spawn(hog(until), preemptible=True, priority=priority, group=priority.name)
            for priority in (pulse.TaskPriority.HIGH, pulse.TaskPriority.LOW)
            for _ in range(5)
        ]
        await asyncio.gather(*tasks)
        used = {group.name: group.cpu_time_ns for group in pulse.get_manager().groups()}
        return abs(used["HIGH"] / used["LOW"] / HIGH_TO_LOW - 1) * 100

    return [
        Figure.of(
            f"{name}: HIGH beside LOW, off {HIGH_TO_LOW:g} to 1",
            "%",
            [run(factory, main(), poll_budget_us=2000) for _ in range(RUNS)],
            5.0,
        )
        for name, factory in loop_factories().items()
    ]


def measure() -> list[Figure]:
    """Measure everything on one processor."""
    gc.collect()
    with on_processor(0):
        return [*_throughput(), *_shares(), *_weights(), *_armed_poll(), _greenlet_floor()]
