"""A real uvicorn in the running loop, and a plain client for it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn

from tests.support.groups import explicit_groups


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    body: str


class Client:
    """One kept connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Client:
        self._reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    async def ask(self, path: str, method: str = "GET") -> Answer:
        self.writer.write(f"{method} {path} HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        status = int(head.split()[1])
        if method == "HEAD":
            return Answer(status, "")
        if "transfer-encoding: chunked" in head:
            body = b""
            while size := int(await self._reader.readline(), 16):
                body += (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readline()
            return Answer(status, body.decode())
        length = int(head.partition("content-length:")[2].split()[0])
        return Answer(status, (await self._reader.readexactly(length)).decode())


@contextlib.asynccontextmanager
async def serving(app: Any, http: str = "h11") -> AsyncIterator[int]:
    """Serve an application on a port of loopback, in the running loop."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, loop="none", http=http, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listener.close()


async def ask(port: int, *paths: str, method: str = "GET") -> list[Answer]:
    """Ask for one path after the other, on one connection."""
    async with Client(port) as client:
        return [await client.ask(path, method) for path in paths]


def requests() -> dict[str, int]:
    """Count the requests of each route; a task that one of them started would count too."""
    return {name: group.tasks for name, group in explicit_groups().items()}
