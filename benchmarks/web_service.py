"""A well-behaved web service, plain and governed: real uvicorn with FastAPI, saturated from a second process.

Both servers run side by side on one processor and take turns: while one is under load the other sleeps. The client has
another processor, where there is one. Besides the requests a second, which whoever else uses the machine disturbs, the
CPU time that the kernel booked to the server is compared, which they disturb less.
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
    """The process of `web_load`, which takes orders."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def seconds_for(self, port: int) -> float:
        """Have a batch of requests answered."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{port} /ping {REQUESTS}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


@contextlib.contextmanager
def _client() -> Iterator[Client]:
    command = [sys.executable, "-m", "benchmarks.web_load"]
    # A process starts on the processors of the one that starts it.
    with on_processor(1):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Client(process)
    finally:
        stop_process(process)


def _cpu_ns(process_id: int) -> int:
    """CPU time of a process's main thread so far, from Linux."""
    return int(Path(f"/proc/{process_id}/schedstat").read_text().split()[0])


class Contender:
    """A server under load, which notes the CPU time of every batch."""

    def __init__(self, client: Client, server: Server) -> None:
        self.cpu_ns: list[float] = []
        self._client = client
        self._server = server

    def __call__(self) -> float:
        before_ns = _cpu_ns(self._server.process_id)
        seconds = self._client.seconds_for(self._server.port)
        self.cpu_ns.append(_cpu_ns(self._server.process_id) - before_ns)
        return seconds


def _server(output: Path, prefix: list[str], loop: str, name: str) -> Server:
    port = find_free_port()
    arguments = [*prefix, *uvicorn_arguments(port, loop)]
    return Server(arguments, port=port, log_path=output / f"{name}.log", environment={})


def _check(report_path: Path, batches: int) -> None:
    """Refuse the figures if not every request was governed; each is one task of uvicorn's."""
    groups = read_reports(str(report_path))[0].groups
    tasks = sum(group.tasks for group in groups if group.name == "RequestResponseCycle.run_asgi")
    expect("requests", tasks, batches * REQUESTS)


def _measure_loop(loop: str, output: Path) -> list[Figure]:
    report_path = output / "report.json"
    prefix = ["asyncio_pulse", "run", "--json", str(report_path), "-m"]
    with _client() as client, contextlib.ExitStack() as servers:
        with on_processor(0):
            plain = Contender(client, servers.enter_context(_server(output, [], loop, "plain")))
            governed = Contender(client, servers.enter_context(_server(output, prefix, loop, "governed")))
        seconds = interleave({"plain": plain, "governed": governed}, ROUNDS)
    _check(report_path, len(governed.cpu_ns))
    # Requests a second are the inverse of the seconds for as many requests.
    fewer = [100 * (1 - 1 / ratio) for ratio in ratios(seconds, "governed", "plain")]
    cpu = {"plain": plain.cpu_ns[1:], "governed": governed.cpu_ns[1:]}
    more = [100 * (ratio - 1) for ratio in ratios(cpu, "governed", "plain")]
    return [
        Figure.of(f"requests a second, plain, {loop}", "1/s", [REQUESTS / each for each in seconds["plain"]]),
        Figure.of(f"fewer requests a second, governed, {loop}", "%", fewer, BOUND_PERCENT),
        Figure.of(f"CPU time of a request, plain, {loop}", "us", [each / REQUESTS / 1e3 for each in cpu["plain"]]),
        Figure.of(f"more CPU time a request, governed, {loop}", "%", more, BOUND_PERCENT),
    ]


def measure() -> list[Figure]:
    """Measure on every loop that is installed; nothing without uvicorn and FastAPI."""
    if not (importlib.util.find_spec("uvicorn") and importlib.util.find_spec("fastapi")):
        nothing = float("nan")
        return [Figure("a web service", "%", nothing, nothing, nothing, note="absent: uvicorn, fastapi")]
    with tempfile.TemporaryDirectory() as directory:
        return [figure for loop in loop_factories() for figure in _measure_loop(loop, Path(directory))]
