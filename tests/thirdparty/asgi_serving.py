"""An ASGI application on a port of loopback, in the running loop: with uvicorn, and with hypercorn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import hypercorn
import hypercorn.asyncio

from tests.support.web_serving import serving as uvicorn_serving

Serving = Callable[[Any], AbstractAsyncContextManager[int]]


@contextlib.asynccontextmanager
async def hypercorn_serving(app: Any) -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = hypercorn.Config()
    port = listener.getsockname()[1]
    config.bind = [f"fd://{listener.detach()}"]
    config.accesslog = config.errorlog = None
    stop = asyncio.Event()
    task = asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait))  # type: ignore[arg-type]
    try:
        yield port
    finally:
        stop.set()
        await task


SERVERS: dict[str, Serving] = {"uvicorn": uvicorn_serving, "hypercorn": hypercorn_serving}
