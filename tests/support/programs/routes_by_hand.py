"""A web service that has our middleware already, added to the application or round it."""

from routes_asgi import app as added
from routes_asgi import starlette_app

from asyncio_pulse.integrations.asgi import PulseMiddleware

added.add_middleware(PulseMiddleware, group=lambda scope: f"own {scope['path']}")
wrapped = PulseMiddleware(starlette_app, group=lambda scope: f"own {scope['path']}")
