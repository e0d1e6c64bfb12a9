"""A well-behaved web service, plain, governed, and grouped by route: real uvicorn with FastAPI, saturated from outside.

The servers run side by side on one processor and take turns: while one is under load the others sleep. The client has
another processor, if there is one. Two quantities are compared: requests per second, which other load on the machine
disturbs, and the server's CPU time from the kernel, which it disturbs less.
"""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from asyncio_pulse.demo.server import Server, find_free_port, stop_process, uvicorn_arguments
from asyncio_pulse.reports.json import read_reports

from .loops import loop_factories
from .method import Figure, expect, interleave, on_processor, ratios

__all__ = ["measure"]

ROUNDS = 100
REQUESTS = 500
BOUND_PERCENT = 1.0


class Client:
    """The process of `web_load`, controlled through its stdin."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def seconds_for(self, port: int) -> float:
        """Send a batch of requests, and return the seconds until all are answered."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{port} /ping {REQUESTS}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


@contextlib.contextmanager
def _client() -> Iterator[Client]:
    command = [sys.executable, "-m", "benchmarks.web_load"]
    # A new process inherits the processors of the process that starts it.
    with on_processor(1):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Client(process)
    finally:
        stop_process(process)


def _cpu_ns(process_id: int) -> int:
    """Return the CPU time of a process's main thread so far, from Linux."""
    return int(Path(f"/proc/{process_id}/schedstat").read_text().split()[0])


class Contender:
    """A server under load. It records the CPU time of every batch."""

    def __init__(self, client: Client, server: Server) -> None:
        self.cpu_ns: list[float] = []
        self._client = client
        self._server = server

    def __call__(self) -> float:
        before_ns = _cpu_ns(self._server.process_id)
        seconds = self._client.seconds_for(self._server.port)
        self.cpu_ns.append(_cpu_ns(self._server.process_id) - before_ns)
        return seconds


def _plain(output: Path, loop: str) -> Server:
    port = find_free_port()
    return Server(uvicorn_arguments(port, loop), port=port, log_path=output / "plain.log", environment={})


def _governed(output: Path, loop: str, name: str, application: str) -> Server:
    port = find_free_port()
    arguments = ["asyncio_pulse", "run", "--json", str(output / f"{name}.json"), "-m"]
    arguments += uvicorn_arguments(port, loop, application)
    return Server(arguments, port=port, log_path=output / f"{name}.log", environment={})


def _check(report_path: Path, group_name: str, batches: int) -> None:
    """Refuse the figures if not every request was counted to the group."""
    groups = read_reports(str(report_path))[0].groups
    requests = sum(group.tasks for group in groups if group.name == group_name)
    expect("requests", requests, batches * REQUESTS)


def _measure_loop(loop: str, output: Path) -> list[Figure]:
    with _client() as client, contextlib.ExitStack() as running:
        servers = {
            "plain": _plain(output, loop),
            "governed": _governed(output, loop, "governed", "asyncio_pulse.demo.app:app"),
            "grouped": _governed(output, loop, "grouped", "benchmarks.web_grouped:app"),
        }
        with on_processor(0):
            contenders = {name: Contender(client, running.enter_context(server)) for name, server in servers.items()}
        seconds = interleave(contenders, ROUNDS)
    # Each request is one task of uvicorn, and one call in the route's group.
    _check(output / "governed.json", "RequestResponseCycle.run_asgi", ROUNDS + 1)
    _check(output / "grouped.json", "GET /ping", ROUNDS + 1)
    cpu_ns = {name: contender.cpu_ns[1:] for name, contender in contenders.items()}
    figures = [
        Figure.of(f"requests a second, plain, {loop}", "1/s", [REQUESTS / each for each in seconds["plain"]]),
        Figure.of(f"CPU time of a request, plain, {loop}", "us", [each / REQUESTS / 1e3 for each in cpu_ns["plain"]]),
    ]
    # The bound is for governing. Grouping by route is opt-in, by adding the middleware.
    for name, control, bound in (("governed", "plain", BOUND_PERCENT), ("grouped", "governed", None)):
        # Requests per second are the inverse of the seconds for the same number of requests.
        fewer = [100 * (1 - 1 / ratio) for ratio in ratios(seconds, name, control)]
        more = [100 * (ratio - 1) for ratio in ratios(cpu_ns, name, control)]
        figures += [
            Figure.of(f"fewer requests a second, {name} to {control}, {loop}", "%", fewer, bound),
            Figure.of(f"more CPU time a request, {name} to {control}, {loop}", "%", more, bound),
        ]
    return figures


def measure() -> list[Figure]:
    """Measure on every installed loop; nothing without uvicorn and FastAPI."""
    if not (importlib.util.find_spec("uvicorn") and importlib.util.find_spec("fastapi")):
        nothing = float("nan")
        return [Figure("a web service", "%", nothing, nothing, nothing, note="absent: uvicorn, fastapi")]
    with tempfile.TemporaryDirectory() as directory:
        return [figure for loop in loop_factories() for figure in _measure_loop(loop, Path(directory))]
