"""A closed-loop client for HTTP servers on loopback: `python -m benchmarks.web_load`, controlled by stdin.

Each line of input has a port, a path and a number of requests. Each line of output has the seconds that they took. Every
connection sends its next request when the last one is answered, so the server always has work. Connections are kept.
"""

from __future__ import annotations

import asyncio
import collections
import sys
import time
from typing import cast

from .loops import loop_factories

CONNECTIONS = 32


class Batch:
    """Requests shared by the connections of one server."""

    def __init__(self, request: bytes, count: int) -> None:
        self.request = request
        self.to_send = count
        self.to_answer = count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Connection(asyncio.Protocol):
    """Sends the requests of a batch, one at a time."""

    def __init__(self) -> None:
        self._batch: Batch | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport but are not instances of it.
        self._transport = cast(asyncio.Transport, transport)

    def begin(self, batch: Batch) -> None:
        """Join in a batch."""
        self._batch = batch
        self._send(batch)

    def _send(self, batch: Batch) -> None:
        if batch.to_send:
            batch.to_send -= 1
            self._transport.write(batch.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or self._batch is None:
            return
        if len(body) < int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]):
            return
        self._buffer = b""
        batch = self._batch
        if not head.startswith(b"HTTP/1.1 200"):
            self._fail(batch, f"answered with {head[:40]!r}")
            return
        batch.to_answer -= 1
        if batch.to_answer:
            self._send(batch)
        else:
            batch.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self._batch is not None:
            self._fail(self._batch, f"the connection was lost: {error}")

    def _fail(self, batch: Batch, reason: str) -> None:
        if not batch.done.done():
            batch.done.set_exception(OSError(reason))


async def run_requests(connections: list[Connection], port: int, path: str, count: int) -> float:
    """Send `count` requests over all connections, which are made first if there are none.

    Returns:
        Seconds from the first request to the last answer.
    """
    loop = asyncio.get_running_loop()
    while len(connections) < CONNECTIONS:
        connections.append((await loop.create_connection(Connection, "127.0.0.1", port))[1])
    batch = Batch(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode(), count)
    started = time.perf_counter()
    for connection in connections:
        connection.begin(batch)
    await batch.done
    return time.perf_counter() - started


def main() -> None:
    """Process the lines of stdin until it ends."""
    servers: collections.defaultdict[str, list[Connection]] = collections.defaultdict(list)
    # The fastest loop that is installed comes last.
    with asyncio.Runner(loop_factory=list(loop_factories().values())[-1]) as runner:
        for line in sys.stdin:
            port, path, count = line.split()
            print(runner.run(run_requests(servers[port], int(port), path, int(count))), flush=True)


if __name__ == "__main__":
    main()
