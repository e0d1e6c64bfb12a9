"""A FastAPI service with a computing route, and /health beside it; a client in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from .jobs import parser

__all__ = ["web_service"]

CLIENT = Path(__file__).with_name("web_client.py")


async def web_service() -> list[float]:
    """Serve until the client is done.

    Returns:
        Seconds of each request for /health.
    """
    app = FastAPI()

    @app.get("/health")
    async def health() -> str:
        return "well"

    @app.get("/report")
    async def report() -> int:
        return parser()

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.001)
    port = server.servers[0].sockets[0].getsockname()[1]
    # Isolated mode keeps the client plain Python, whatever its server is.
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(CLIENT), str(port), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await client.communicate()
    server.should_exit = True
    await serving
    return list(json.loads(output))
