"""The load generator: requests on a fixed schedule, from a process of its own.

The schedule is open: a request is sent when its time has come, whether or not earlier ones were answered, and its
latency counts from that intended time. A generator that waits for answers would send little while the server is stuck,
and measure little of it ("coordinated omission", Gil Tene).

It prints JSON lines: `{"elapsed_s": ...}` as it goes, and at the end one object that holds the result.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["main"]

HOST = "127.0.0.1"
PROGRESS_INTERVAL_S = 0.25
# A request unanswered by this time is an error: the server hangs.
PATIENCE_S = 30.0


class KeepAliveClient:
    """HTTP/1.1 over loopback. It keeps as many connections as there were ever concurrent requests."""

    def __init__(self, port: int) -> None:
        """Set the port of the server."""
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def get(self, path: str) -> None:
        """Fetch `path` and discard the body.

        Raises:
            OSError: The connection failed or was cut, or the answer was not 200.
        """
        reader, writer = self._idle.pop() if self._idle else await self._connect()
        kept = False
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            status, *headers = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
            length = next(int(line.partition(":")[2]) for line in headers if line.startswith("content-length:"))
            await reader.readexactly(length)
            kept = status.split()[1] == "200"
            if not kept:
                raise OSError(f"GET {path} was answered with {status!r}, expected 200")
        except asyncio.IncompleteReadError as error:
            raise ConnectionError(f"the server cut the connection during GET {path}") from error
        finally:
            if kept:
                self._idle.append((reader, writer))
            else:
                writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # The heavy answer has megabytes. A large buffer keeps the generator itself from being late.
        return await asyncio.open_connection(HOST, self._port, limit=2**20)

    def close(self) -> None:
        """Close the idle connections."""
        for _, writer in self._idle:
            writer.close()


class Schedule:
    """Requests one path at a fixed rate, and records each request as (intended time in s, latency in ms)."""

    def __init__(self, client: KeepAliveClient, path: str, *, period_s: float, offset_s: float = 0.0) -> None:
        """Prepare; nothing is sent before `run`."""
        self.samples: list[tuple[float, float]] = []
        self.lateness_ms: list[float] = []
        self.errors: list[str] = []
        self._client = client
        self._path = path
        self._period_s = period_s
        self._offset_s = offset_s

    async def run(self, seconds: float) -> None:
        """Send for `seconds`, then wait for the answers."""
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            async with asyncio.timeout(seconds + PATIENCE_S), asyncio.TaskGroup() as requests:
                count = 0
                while (intended_s := self._offset_s + count * self._period_s) < seconds:
                    await asyncio.sleep(max(0.0, started + intended_s - clock()))
                    self.lateness_ms.append((clock() - started - intended_s) * 1e3)
                    requests.create_task(self._send(started, intended_s))
                    count += 1
        except TimeoutError:
            self.errors.append(f"GET {self._path} was not answered within {PATIENCE_S:g} s of the end")

    async def _send(self, started: float, intended_s: float) -> None:
        try:
            await self._client.get(self._path)
        except OSError as error:
            self.errors.append(str(error))
        else:
            latency_s = asyncio.get_running_loop().time() - started - intended_s
            self.samples.append((intended_s, latency_s * 1e3))


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


async def _tell_progress(seconds: float) -> None:
    clock = asyncio.get_running_loop().time
    started = clock()
    while True:
        _say({"elapsed_s": min(seconds, clock() - started)})
        await asyncio.sleep(PROGRESS_INTERVAL_S)


async def _generate(options: argparse.Namespace) -> None:
    client = KeepAliveClient(options.port)
    pings = Schedule(client, "/ping", period_s=1 / options.pings_per_second)
    schedules = [pings]
    if options.report_period:
        # Offset from the pings at t = 0, so that the first second shows both calm and storm.
        period_s = options.report_period
        schedules.append(Schedule(client, "/report", period_s=period_s, offset_s=period_s / 2))
    progress = asyncio.create_task(_tell_progress(options.seconds))
    try:
        async with asyncio.TaskGroup() as group:
            for schedule in schedules:
                group.create_task(schedule.run(options.seconds))
    finally:
        progress.cancel()
        client.close()
    _say(
        {
            "pings": sorted(pings.samples),
            "reports": sorted(sample for schedule in schedules[1:] for sample in schedule.samples),
            "errors": [error for schedule in schedules for error in schedule.errors],
            "lateness_ms": sorted(pings.lateness_ms),
        }
    )


def main(arguments: Sequence[str]) -> int:
    """Generate load according to the command line.

    Returns:
        The exit code; 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="python -m asyncio_pulse.demo.load", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--pings-per-second", type=float, required=True)
    parser.add_argument("--report-period", type=float, default=0.0, help="seconds between two /report; 0 sends none")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_generate(options))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
