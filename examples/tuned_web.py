"""A web service with a route that computes between its awaits; use it to try tiers.

asyncio-pulse run -m uvicorn --app-dir examples tuned_web:app
"""

from __future__ import annotations

import asyncio
import json

from fastapi import FastAPI

from asyncio_pulse.integrations.asgi import PulseMiddleware

app = FastAPI()
app.add_middleware(PulseMiddleware)


@app.get("/ping")
async def ping() -> str:
    """Answer at once."""
    return "pong"


@app.get("/report")
async def report() -> int:
    """Encode an answer page by page, and give way after each page, as a streamed answer does."""
    size = 0
    for page in range(100):
        size += len(json.dumps([{"page": page, "row": row, "text": str(row) * 4} for row in range(6_000)]))
        await asyncio.sleep(0)
    return size
