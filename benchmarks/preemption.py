"""What preemption gives and costs: a heartbeat beside hogs, their throughput, how soon each kind is left."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import json
import re
import statistics
import threading
import time
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

import asyncio_pulse as pulse

from .loops import LoopFactory, loop_factories
from .method import Figure, on_processor

__all__ = ["measure"]

RUNS = 5
SECONDS = 1.0
BEAT_S = 0.005
BOUNDS_MS = {"uvloop": 1.0, "asyncio": 2.0}
MOST_LATE_MS = 10.0
HOGS = (1, 10, 100)


async def _hog(until: float) -> int:
    rounds = 0
    while time.perf_counter() < until:
        for _ in range(1000):
            rounds += 1
    return rounds


async def _beat(until: float) -> list[float]:
    late = []
    while (began := time.perf_counter()) < until:
        await asyncio.sleep(BEAT_S)
        late.append((time.perf_counter() - began - BEAT_S) * 1e3)
    return late


def _run(factory: LoopFactory, main: Coroutine[Any, Any, Any], **settings: Any) -> Any:
    return pulse.run(main, config=pulse.TierConfig(preemptible_modules=("*",), **settings), loop_factory=factory)


def _lateness(factory: LoopFactory, hogs: int, preemptible: bool) -> list[float]:
    async def main() -> list[float]:
        until = time.perf_counter() + SECONDS
        beat = asyncio.create_task(_beat(until))
        await asyncio.sleep(0)
        tasks = [pulse.spawn(_hog(until), preemptible=preemptible) for _ in range(hogs)]
        await asyncio.gather(*tasks)
        return await beat

    return sorted(_run(factory, main(), poll_budget_us=1000))


def _lateness_beside_threads(hogs: int) -> list[float]:
    until = time.perf_counter() + SECONDS

    def work() -> None:
        rounds = 0
        while time.perf_counter() < until:
            rounds += 1

    threads = [threading.Thread(target=work) for _ in range(hogs)]
    for thread in threads:
        thread.start()
    late = []
    # Once at least: a hundred threads may keep this one from running at all.
    while not late or time.perf_counter() < until:
        began = time.perf_counter()
        time.sleep(BEAT_S)
        late.append((time.perf_counter() - began - BEAT_S) * 1e3)
    for thread in threads:
        thread.join()
    return sorted(late)


def _late_figures(name: str, run: Callable[[], list[float]], p99_bound: float | None = None) -> list[Figure]:
    runs = [run() for _ in range(RUNS)]
    p99 = [late[len(late) * 99 // 100] for late in runs]
    return [
        Figure.of(f"{name}: heartbeat late, p99", "ms", p99, p99_bound),
        Figure.of(f"{name}: heartbeat late, max", "ms", [late[-1] for late in runs], p99_bound and MOST_LATE_MS),
    ]


def _heartbeats() -> list[Figure]:
    figures = []
    for hogs in HOGS:
        for name, factory in loop_factories().items():
            for preemptible in (True, False):
                kind = "preempted" if preemptible else "plain"
                title = f"{name}, {hogs} hogs, {kind}"
                run = lambda: _lateness(factory, hogs, preemptible)  # noqa: B023, E731 - run at once
                figures += _late_figures(title, run, BOUNDS_MS[name] if preemptible else None)
        figures += _late_figures(f"threads, {hogs} hogs", lambda: _lateness_beside_threads(hogs))  # noqa: B023
    return figures


def _work(rounds: int) -> int:
    total = 0
    for number in range(rounds):
        total += number * number
    return total


def _throughput() -> list[Figure]:
    """CPU time of five hogs that are left every 2 ms, against the same work left alone."""
    rounds = 400_000

    async def hog() -> int:
        return _work(rounds)

    async def main(preemptible: bool) -> float:
        began = time.thread_time()
        await asyncio.gather(*(pulse.spawn(hog(), preemptible=preemptible) for _ in range(5)))
        return time.thread_time() - began

    figures = []
    for name, factory in loop_factories().items():
        costs = []
        for _ in range(3 * RUNS):
            bare = _run(factory, main(False), poll_budget_us=2000)
            preempted = _run(factory, main(True), poll_budget_us=2000)
            costs.append((preempted / bare - 1) * 100)
        figures.append(Figure.of(f"{name}: throughput lost by hogs at 2 ms", "%", costs, 3.0))
    return figures


def _armed_poll() -> list[Figure]:
    """What an armed poll costs beyond a governed one, and arming, in time and memory."""
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
        # A greenlet's stack is outside of Python's allocators: its objects are what is seen here.
        spawned = [pulse.spawn(spin(3), preemptible=preemptible) for _ in range(tasks)]
        await asyncio.sleep(0)
        used = tracemalloc.get_traced_memory()[0] / tasks / 1024
        tracemalloc.stop()
        await asyncio.gather(*spawned)
        return used

    figures = []
    for name, factory in loop_factories().items():
        for what, unit, bound, run in (
            ("armed poll", "ns", 400.0, polls),
            ("arming a task", "us", 4.0, births),
            ("arming a task, memory", "KiB", 6.0, memory),
        ):
            values = [
                _run(factory, run(True), poll_budget_us=2000) - _run(factory, run(False), poll_budget_us=2000)
                for _ in range(3 * RUNS)
            ]
            figures.append(Figure.of(f"{name}: {what}", unit, values, bound))
    return figures


def _parse(text: str) -> list[Any]:
    """Parse nested parentheses, as parsers written in Python do."""
    stack: list[list[Any]] = [[]]
    for character in text:
        if character == "(":
            stack.append([])
        elif character == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(character)
    return stack[0]


def _render() -> Callable[[], Any]:
    import jinja2

    rows = "{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}"
    template = jinja2.Template(rows)
    return lambda: template.render(rows=[range(20)] * 100)


def _kinds() -> dict[str, Callable[[], Any]]:
    class Custom:
        pass

    objects = [Custom() for _ in range(200)]
    document = {str(number): list(range(20)) for number in range(100)}
    kinds: dict[str, Callable[[], Any]] = {
        "arithmetic": lambda: _work(20_000),
        "a parser in Python": lambda: _parse("(a(b)c)" * 2000),
        "copy.deepcopy": lambda: copy.deepcopy(document),
        "json.dumps(default=...)": lambda: json.dumps(objects, default=lambda each: sum([1 for _ in range(200)])),
        "re.sub(callback)": lambda: re.sub("a", lambda match: str(sum([1 for _ in range(200)])), "a" * 200),
        "list.sort(key=...)": lambda: sorted(range(500), key=lambda each: sum([each for _ in range(100)])),
        "sum(generator)": lambda: sum(number * number for number in range(20_000)),
        "one long C call": lambda: sorted(range(300_000), reverse=True),
    }
    with contextlib.suppress(ImportError):
        kinds["Jinja2"] = _render()
    return kinds


def _suspensions() -> list[Figure]:
    """Time from the budget's end to the suspension, by kind of hog; without one, the rule that refused."""

    async def main(work: Callable[[], Any]) -> Any:
        async def hog() -> None:
            until = time.perf_counter() + SECONDS / 2
            while time.perf_counter() < until:
                work()

        await pulse.spawn(hog(), preemptible=True)
        return pulse.get_manager().get_preemption_metrics()

    figures = []
    for name, work in _kinds().items():
        record = _run(asyncio.new_event_loop, main(work), poll_budget_us=1000, preempt_through_c="iteration")
        refused = {rule: count for rule, count in record.refused.items() if count}
        most = max(refused, key=lambda rule: refused[rule], default="nothing")
        note = f"{record.preemptions} preemptions; refused most by: {most}"
        delays = [record.delay.percentile(percent) / 1e6 for percent in (50, 99)]
        figures += [
            Figure(f"{name}: until suspended, p50", "ms", delays[0], delays[0], delays[0], note=note),
            Figure(f"{name}: until suspended, p99", "ms", delays[1], delays[1], delays[1]),
        ]
    return figures


def _shares() -> list[Figure]:
    """The least share of ten equal hogs, against the median one."""

    async def main() -> float:
        until = time.perf_counter() + 2 * SECONDS
        rounds = await asyncio.gather(*(pulse.spawn(_hog(until), preemptible=True) for _ in range(10)))
        return (1 - min(rounds) / statistics.median(rounds)) * 100

    return [
        Figure.of(
            f"{name}: least of ten equal hogs below the median",
            "%",
            [_run(factory, main(), poll_budget_us=2000) for _ in range(RUNS)],
            5.0,
        )
        for name, factory in loop_factories().items()
    ]


def measure() -> list[Figure]:
    """Measure all of it on one processor."""
    gc.collect()
    with on_processor(0):
        return [*_heartbeats(), *_throughput(), *_shares(), *_armed_poll(), *_suspensions()]
