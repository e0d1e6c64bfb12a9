"""The slow queue: the cost of parking, the lateness of other tasks beside offenders, and the offenders' throughput."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import statistics
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import asyncio_pulse as pulse
from asyncio_pulse.config import InterventionAction, TierPolicyBuilder

from .loops import LoopFactory, loop_factories
from .method import Figure, differences, interleave, on_processor, ratios

__all__ = ["measure"]

T = TypeVar("T")
Main = Callable[[], Coroutine[Any, Any, T]]

GROUP = "offenders"
NEVER_MS = 3_600_000
PARK_ROUNDS, PARK_TASKS, PARK_POLLS = 25, 200, 50
PARK_BOUND_NS, LATE_BOUND_MS, LATENCY_BOUND, THROUGHPUT_BOUND = 3_000.0, 15.0, 3.0, 10.0
HOGS = (5, 20, 200)
SLICE_S = PERIOD_S = 0.010
LONGEST_S, BEATS = 6.0, 150
WORK_ROUNDS, WORK_HOGS, WORK_SLICES_MS, WORK_NS, WORK_BOUND = 5, 20, (1, 2, 5, 10), 1_000_000_000, 3.0
REQUEST_ROUNDS, REQUESTS, REQUEST_POLLS, REQUEST_POLL_S = 5, 1_000, 20, 20e-6

# One violation makes an offender, and an offender stays one.
_TIERS = tuple(
    TierPolicyBuilder(action)
    .promotion_violations(1)
    .demotion_good_polls(1_000_000)
    .demotion_min_duration_ms(NEVER_MS)
    .build()
    for action in InterventionAction
    if action is not InterventionAction.ISOLATE
)
_LAST = TierPolicyBuilder(InterventionAction.ISOLATE).demotion_min_duration_ms(NEVER_MS).build()
CONFIG = pulse.TierConfig(
    promotion_share=0.0,
    promotion_hysteresis_ms=0,
    idle_decay_ms=NEVER_MS,
    warn_interval_ms=NEVER_MS,
    tier_policies=(*_TIERS, _LAST),
)
PARKING_ALONE = dataclasses.replace(CONFIG, preempt="off")


def _burn(seconds: float, clock: Callable[[], float] = time.thread_time) -> None:
    end = clock() + seconds
    while clock() < end:
        pass


async def _offend() -> None:
    async def break_the_budget() -> None:
        _burn(0.005)
        await asyncio.sleep(0)

    while not any(group.name == GROUP and group.tier >= 2 for group in pulse.get_manager().groups()):
        await asyncio.gather(*(pulse.spawn(break_the_budget(), group=GROUP) for _ in range(4)))


def _spawn(coro: Coroutine[Any, Any, T], governed: bool) -> asyncio.Task[T]:
    return pulse.spawn(coro, group=GROUP) if governed else asyncio.create_task(coro)


def _run(factory: LoopFactory, main: Main[T], governed: bool, config: pulse.TierConfig = CONFIG) -> T:
    async def offend_first() -> T:
        await _offend()
        result = await pulse.spawn(main(), max_tier=InterventionAction.WARN)
        if not pulse.get_manager().report().slow_queue.parked:
            raise RuntimeError("nothing was parked; the figure would be worthless")
        return result

    if governed:
        return pulse.run(offend_first(), config=config, loop_factory=factory)
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


def _time_parks(factory: LoopFactory, governed: bool) -> float:
    """Return CPU nanoseconds of one `sleep(0)` of tasks that do nothing else."""

    async def spin() -> None:
        for _ in range(PARK_POLLS):
            await asyncio.sleep(0)

    async def main() -> float:
        await asyncio.gather(*(_spawn(spin(), governed) for _ in range(PARK_TASKS)))
        started_ns = time.thread_time_ns()
        await asyncio.gather(*(_spawn(spin(), governed) for _ in range(PARK_TASKS)))
        return (time.thread_time_ns() - started_ns) / (PARK_TASKS * PARK_POLLS)

    return _run(factory, main, governed)


def _work(factory: LoopFactory, slice_ms: int, governed: bool) -> float:
    """Return CPU nanoseconds of the thread in which 20 tasks do a fixed amount of work in slices of this length."""
    slices = max(1, WORK_NS // (slice_ms * 1_000_000 * WORK_HOGS))

    async def hog() -> None:
        for _ in range(slices):
            _burn(slice_ms / 1e3)
            await asyncio.sleep(0)

    async def main() -> float:
        started_ns = time.thread_time_ns()
        await asyncio.gather(*(_spawn(hog(), governed) for _ in range(WORK_HOGS)))
        return float(time.thread_time_ns() - started_ns)

    return _run(factory, main, governed)


def _lateness_ms(factory: LoopFactory, hogs: int, governed: bool) -> list[float]:
    """Return the lateness of a periodic task beside hogs that burn 10 ms and yield: milliseconds, ascending."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        late: list[float] = []

        async def hog() -> None:
            while True:
                _burn(SLICE_S, time.perf_counter)
                await asyncio.sleep(0)

        tasks = [_spawn(hog(), governed) for _ in range(hogs)]
        end = loop.time() + LONGEST_S
        while loop.time() < end and len(late) < BEATS:
            due = loop.time() + PERIOD_S
            await asyncio.sleep(PERIOD_S)
            late.append((loop.time() - due) * 1e3)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return sorted(late)

    return _run(factory, main, governed)


def _serve(factory: LoopFactory, config: pulse.TierConfig | None, medians: list[float]) -> float:
    """Return CPU nanoseconds for all requests, and append the median time of a request to `medians`."""

    async def main() -> float:
        took: list[int] = []
        started_ns = time.thread_time_ns()

        async def request() -> None:
            for _ in range(REQUEST_POLLS):
                _burn(REQUEST_POLL_S)
                await asyncio.sleep(0)
            took.append(time.thread_time_ns() - started_ns)

        await asyncio.gather(*(_spawn(request(), config is not None) for _ in range(REQUESTS)))
        medians.append(statistics.median(took))
        return float(time.thread_time_ns() - started_ns)

    return _run(factory, main, config is not None, config or CONFIG)


def _measure_parks(name: str, factory: LoopFactory) -> Figure:
    costs = interleave(
        {"bare": lambda: _time_parks(factory, False), "parked": lambda: _time_parks(factory, True)}, PARK_ROUNDS
    )
    return Figure.of(
        f"park, release and resume, {name}",
        "ns",
        differences(costs, "parked", "bare"),
        PARK_BOUND_NS,
        "beyond sleep(0)",
    )


def _measure_lateness(name: str, factory: LoopFactory) -> list[Figure]:
    figures = []
    for hogs in HOGS:
        for governed in (False, True):
            late = _lateness_ms(factory, hogs, governed)
            p99, way = late[len(late) * 99 // 100], "governed" if governed else "plain"
            bound = LATE_BOUND_MS if governed else None
            text = f"p99 late beside {hogs} hogs, {way}, {name}"
            figures.append(Figure(text, "ms", p99, late[len(late) // 2], late[-1], bound, "extremes: median, max"))
    return figures


def _measure_work(name: str, factory: LoopFactory) -> list[Figure]:
    figures = []
    for slice_ms in WORK_SLICES_MS:
        plain, governed = (partial(_work, factory, slice_ms, way) for way in (False, True))
        costs = interleave({"plain": plain, "governed": governed}, WORK_ROUNDS)
        less = [(1 - 1 / ratio) * 100 for ratio in ratios(costs, "governed", "plain")]
        figures.append(Figure.of(f"less work of {slice_ms} ms slices, {name}", "%", less, WORK_BOUND))
    return figures


def _measure_requests(name: str, factory: LoopFactory) -> list[Figure]:
    ways = {"plain": None, "parked": PARKING_ALONE, "parked, preemptible": CONFIG}
    medians: dict[str, list[float]] = {way: [] for way in ways}
    costs = interleave(
        {way: partial(_serve, factory, config, medians[way]) for way, config in ways.items()}, REQUEST_ROUNDS
    )
    figures = []
    for way, bounds in (("parked", (LATENCY_BOUND, THROUGHPUT_BOUND)), ("parked, preemptible", (LATENCY_BOUND, None))):
        fewer = [(1 - 1 / ratio) * 100 for ratio in ratios(costs, way, "plain")]
        figures += [
            Figure.of(f"median request over plain, {way}, {name}", "x", ratios(medians, way, "plain"), bounds[0]),
            Figure.of(f"fewer requests of tiny polls, {way}, {name}", "%", fewer, bounds[1]),
        ]
    return figures


def measure() -> list[Figure]:
    """Measure on every installed loop."""
    # The benchmark brings the same group to Yield many times, and each time would be logged.
    logging.getLogger("asyncio_pulse").setLevel(logging.ERROR)
    figures = []
    with on_processor(0):
        for name, factory in loop_factories().items():
            figures.append(_measure_parks(name, factory))
            figures += _measure_lateness(name, factory)
            figures += _measure_work(name, factory)
            figures += _measure_requests(name, factory)
    return figures
