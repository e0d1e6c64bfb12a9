"""The cost of preemption: polls on slices, suspensions, throughput of preempted tasks; and the fairness of shares."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time

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


def _slices() -> list[Figure]:
    """Measure a poll on a slice beyond a governed one; and a suspension, its signal and its resumption included."""
    yields, rounds = 2000, 400_000

    async def spin() -> None:
        for _ in range(yields):
            await asyncio.sleep(0)

    async def compute() -> None:
        work(rounds)

    async def polls(preemptible: bool | None) -> float:
        began = time.thread_time()
        await pulse.spawn(spin(), preemptible=preemptible)
        return (time.thread_time() - began) / yields * 1e9

    async def computing(preemptible: bool) -> tuple[float, int]:
        began = time.thread_time()
        await pulse.spawn(compute(), preemptible=preemptible)
        return (time.thread_time() - began) * 1e6, pulse.get_manager().get_metrics().preemptions

    figures = []
    for name, factory in loop_factories().items():
        beyond, suspensions = [], []
        for _ in range(3 * RUNS):
            beyond.append(
                run(factory, polls(True), poll_budget_us=2000) - run(factory, polls(None), poll_budget_us=2000)
            )
            suspended, times = run(factory, computing(True), poll_budget_us=100)
            suspensions.append((suspended - run(factory, computing(False), poll_budget_us=100)[0]) / times)
        figures += [
            Figure.of(f"{name}: a poll on a slice", "ns", beyond, 400.0),
            Figure.of(f"{name}: a suspension and its resumption", "us", suspensions),
        ]
    return figures


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
        return [*_throughput(), *_shares(), *_weights(), *_slices()]
