"""The demo's web service behind the middleware that counts each request to its route."""

from __future__ import annotations

from asyncio_pulse.demo.app import app as service
from asyncio_pulse.integrations.asgi import PulseMiddleware

__all__ = ["app"]

app = PulseMiddleware(service)
