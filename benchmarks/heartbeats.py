"""Lateness of a 5 ms heartbeat beside CPU-bound hogs on one core: preempted, plain, and in other runtimes."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import asyncio_pulse as pulse

from .hogs import hog, run
from .loops import LoopFactory, loop_factories
from .method import Figure, on_processor

__all__ = ["measure"]

RUNS = 5
SECONDS = 1.0
BEAT_S = 0.005
BOUND_MS = 1.0
MOST_LATE_MS = 10.0
HOGS = (1, 10, 100)
RUNTIMES = Path(__file__).with_name("runtimes")


async def _beat(until: float) -> list[float]:
    late = []
    while (began := time.perf_counter()) < until:
        await asyncio.sleep(BEAT_S)
        late.append((time.perf_counter() - began - BEAT_S) * 1e3)
    return late


def _lateness(factory: LoopFactory, hogs: int, preemptible: bool) -> list[float]:
    async def main() -> list[float]:
        until = time.perf_counter() + SECONDS
        beat = asyncio.create_task(_beat(until))
        await asyncio.sleep(0)
        tasks = [pulse.spawn(hog(until), preemptible=preemptible) for _ in range(hogs)]
        await asyncio.gather(*tasks)
        return await beat

    return sorted(run(factory, main(), latency_target_ms=10))


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
    # Measures at least once, because a hundred threads may keep this one from running at all.
    while not late or time.perf_counter() < until:
        began = time.perf_counter()
        time.sleep(BEAT_S)
        late.append((time.perf_counter() - began - BEAT_S) * 1e3)
    for thread in threads:
        thread.join()
    return sorted(late)


def _late_figures(name: str, measured: Callable[[], list[float]], p99_bound: float | None = None) -> list[Figure]:
    runs = [measured() for _ in range(RUNS)]
    p99 = [late[len(late) * 99 // 100] for late in runs]
    return [
        Figure.of(f"{name}: heartbeat late, p99", "ms", p99, p99_bound),
        Figure.of(f"{name}: heartbeat late, max", "ms", [late[-1] for late in runs], p99_bound and MOST_LATE_MS),
    ]


def _beside_goroutines(program: Path, hogs: int) -> list[float]:
    return _of_program([str(program), str(hogs), str(SECONDS)])


def _beside_erlang_processes(hogs: int) -> list[float]:
    return _of_program(["escript", str(RUNTIMES / "heartbeat.escript"), str(hogs), str(SECONDS)])


def _of_program(command: list[str]) -> list[float]:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return sorted(float(line) for line in done.stdout.split())


def _python(hogs: int) -> list[Figure]:
    figures = []
    for name, factory in loop_factories().items():
        for preemptible in (True, False):
            title = f"{name}, {hogs} hogs, {'preempted' if preemptible else 'plain'}"
            measured = lambda: _lateness(factory, hogs, preemptible)  # noqa: B023, E731 - run at once
            figures += _late_figures(title, measured, BOUND_MS if preemptible else None)
    return figures + _late_figures(f"Python threads, {hogs} hogs", lambda: _lateness_beside_threads(hogs))


def _others() -> list[Figure]:
    """Measure Go and Erlang, if they are installed."""
    figures = []
    if shutil.which("go"):
        with tempfile.TemporaryDirectory() as directory:
            program = Path(directory) / "heartbeat"
            environment = os.environ | {"GOCACHE": directory, "GO111MODULE": "off"}
            command = ["go", "build", "-o", str(program), str(RUNTIMES / "heartbeat.go")]
            subprocess.run(command, env=environment, check=True, timeout=300)
            for hogs in HOGS:
                figures += _late_figures(f"Go, {hogs} hogs", lambda: _beside_goroutines(program, hogs))  # noqa: B023
    if shutil.which("escript"):
        for hogs in HOGS:
            figures += _late_figures(f"Erlang, {hogs} hogs", lambda: _beside_erlang_processes(hogs))  # noqa: B023
    return figures


def measure() -> list[Figure]:
    """Measure everything on one processor."""
    gc.collect()
    with on_processor(0):
        return [figure for hogs in HOGS for figure in _python(hogs)] + _others()
