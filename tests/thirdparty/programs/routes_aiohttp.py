"""A service on aiohttp.web that knows nothing of asyncio-pulse."""

import sys
from typing import Any

from aiohttp import web


@web.middleware
async def stamp(request: web.Request, handler: Any) -> Any:
    response = await handler(request)
    response.headers["stamp"] = request.path
    return response


async def item(request: web.Request) -> web.Response:
    return web.Response(text=f"item {request.match_info['id']}, {len(request.app.middlewares)} middlewares")


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(3):
        await response.write(f"{number} ".encode())
    return response


async def fails(request: web.Request) -> web.Response:
    raise LookupError("the handler's own")


async def announce(app: web.Application) -> None:
    print("begins", flush=True)


def make(*middlewares: Any) -> web.Application:
    app, inner = web.Application(middlewares=[*middlewares, stamp]), web.Application(middlewares=[stamp])
    inner.add_routes([web.get("/items/{id}", item)])
    app.add_routes([web.get("/items/{id:\\d+}", item), web.get("/stream", stream), web.get("/fails", fails)])
    app.add_routes([web.get("/healthz", stream)])
    app.add_subapp("/inner", inner)
    app.on_startup.append(announce)
    return app


if __name__ == "__main__":
    middlewares = []
    if "by hand" in sys.argv:
        from asyncio_pulse.integrations.aiohttp import middleware

        middlewares.append(middleware(group=lambda request: f"own {request.path}"))
    web.run_app(make(*middlewares), host="127.0.0.1", port=int(sys.argv[1]), print=None)
