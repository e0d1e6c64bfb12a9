"""A well-behaved web service, plain, governed, and with named routes: real uvicorn with FastAPI, saturated from outside.

One server changes its state every half second, because two servers differ by some percent for their whole lives. The client
has another processor, if there is one. CPU time is that of the whole process, with our own threads.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from asyncio_pulse.demo.server import stop_process

from .loops import loop_factories
from .method import Figure, on_processor, ratios

__all__ = ["measure"]

ROUNDS = 60
PATIENCE_S = 300
# More than any server can answer in that time.
ENDLESSLY = 100_000_000

BOUND_PERCENT = {"governed": 1.0, "routes": 2.0}


@contextlib.contextmanager
def _running(*arguments: str, processor: int) -> Iterator[subprocess.Popen[str]]:
    # A new process inherits the processors of the process that starts it.
    with on_processor(processor):
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    try:
        yield process
    finally:
        stop_process(process)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)


def _costs(loop: str) -> dict[str, list[float]]:
    """Return CPU nanoseconds of a request in each round, by state."""
    with _running("benchmarks.web_switched", loop, str(ROUNDS), processor=0) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        _wait_for(port)
        with _running("benchmarks.web_load", processor=1) as client:
            assert client.stdin is not None
            client.stdin.write(f"{port} /ping {ENDLESSLY}\n")
            client.stdin.flush()
            costs: dict[str, list[float]] = json.loads(server.stdout.readline())
            return costs


def _measure_loop(loop: str) -> list[Figure]:
    costs = _costs(loop)
    figures = [Figure.of(f"CPU time of a request, plain, {loop}", "us", [each / 1e3 for each in costs["plain"]])]
    for state, bound in BOUND_PERCENT.items():
        more = [100 * (ratio - 1) for ratio in ratios(costs, state, "plain")]
        low, _, high = statistics.quantiles(more, n=4)
        note = f"quartiles of {len(more)} pairs: {low:.1f} and {high:.1f}"
        figures.append(Figure.of(f"more CPU time a request, {state}, {loop}", "%", more, bound, note))
    return figures


def measure() -> list[Figure]:
    """Measure on every installed loop; nothing without uvicorn and FastAPI."""
    if not all(importlib.util.find_spec(name) for name in ("uvicorn", "httptools", "fastapi")):
        nothing = float("nan")
        return [Figure("a web service", "%", nothing, nothing, nothing, note="absent: uvicorn, httptools, fastapi")]
    return [figure for loop in loop_factories() for figure in _measure_loop(loop)]
