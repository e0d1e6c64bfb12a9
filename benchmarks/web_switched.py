"""A web service that is governed in turn: `python -m benchmarks.web_switched LOOP ROUNDS`.

It prints its port, serves until it was measured in every state for so many rounds, and prints CPU nanoseconds of a request
as JSON, by state. Two servers differ by some percent for their whole lives, so all states are states of one process.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import uvicorn

import asyncio_pulse as pulse
from asyncio_pulse.demo.app import app
from asyncio_pulse.demo.server import find_free_port
from asyncio_pulse.integrations.asgi import PulseMiddleware

from .loops import loop_factories

STATES = ("plain", "governed", "routes")
PERIOD_S = 0.5
SETTLE_S = 0.03


class Switch:
    """Puts a running server into one of the states."""

    def __init__(self, server: uvicorn.Server, manager: pulse.TierManager) -> None:
        self._server = server
        self._manager = manager
        self._applications: dict[str, Any] = {"plain": app, "governed": app, "routes": PulseMiddleware(app)}

    def __call__(self, state: str) -> None:
        self._manager.set_mode("off" if state == "plain" else "act")
        # As the server does for each new connection.
        for connection in self._server.server_state.connections:
            connection.app = self._applications[state]  # type: ignore[union-attr]


async def measure(server: uvicorn.Server, switch: Callable[[str], None], rounds: int) -> dict[str, list[float]]:
    """Return CPU nanoseconds of a request in each round, by state. The server is under constant load."""
    costs: dict[str, list[float]] = {state: [] for state in STATES}
    order = list(STATES)
    for number in range(rounds + 1):
        order.reverse()
        for state in order:
            switch(state)
            await asyncio.sleep(SETTLE_S)
            cpu_ns, requests = time.process_time_ns(), server.server_state.total_requests
            await asyncio.sleep(PERIOD_S)
            served = server.server_state.total_requests - requests
            if served == 0:
                raise RuntimeError("the server had no requests")
            if number:
                costs[state].append((time.process_time_ns() - cpu_ns) / served)
    return costs


def check(manager: pulse.TierManager) -> None:
    """Refuse the figures if nothing was governed, or not all of the third state was counted to the route."""
    tasks = {group.name: group.tasks for group in manager.report().groups}
    # A third of the time, the tasks of the server run a request of a group of its own.
    share = tasks.get("GET /ping", 0) / max(1, tasks.get("RequestResponseCycle.run_asgi", 0))
    if not 0.3 < share < 0.7:
        raise RuntimeError(f"of all governed requests, {share:.2f} have a route, expected about a half")


async def serve(server: uvicorn.Server, rounds: int) -> None:
    """Serve until everything is measured, and the client has heard of it."""
    manager = pulse.install()
    serving = asyncio.ensure_future(server.serve())
    while not server.server_state.connections:
        await asyncio.sleep(0.05)
    try:
        costs = await measure(server, Switch(server, manager), rounds)
        check(manager)
        print(json.dumps(costs), flush=True)
        while server.server_state.connections:
            await asyncio.sleep(0.05)
    finally:
        server.should_exit = True
        await serving


def main(loop: str, rounds: int) -> None:
    """Serve and measure in this process."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    port = find_free_port()
    print(port, flush=True)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", access_log=False, http="httptools"))
    with asyncio.Runner(loop_factory=loop_factories()[loop]) as runner:
        runner.run(serve(server, rounds))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
