"""Starlette and FastAPI behind uvicorn and hypercorn, asked by httpx and websockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import fastapi
import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from tests.thirdparty.asgi_serving import SERVERS, Serving
from tests.thirdparty.conftest import Run


async def count() -> AsyncIterator[str]:
    for number in range(20):
        await asyncio.sleep(0)
        yield f"{number}\n"


async def note(done: list[str], name: str) -> None:
    await asyncio.sleep(0.001)
    done.append(name)


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text.upper())


class Stamp(BaseHTTPMiddleware):
    """Runs the application in a task of its own."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["stamp"] = request.url.path
        return response


def starlette_app(done: list[str]) -> Any:
    async def echo(request: Request) -> Response:
        name = request.path_params["name"]
        return JSONResponse({"name": name, "body": await request.json()}, background=BackgroundTask(note, done, name))

    async def stream(request: Request) -> Response:
        return StreamingResponse(count())

    routes = [Route("/echo/{name}", echo, methods=["POST"]), Route("/count", stream), WebSocketRoute("/talk", talk)]
    return Starlette(routes=routes, middleware=[Middleware(Stamp)])


def fastapi_app(done: list[str]) -> Any:
    app = fastapi.FastAPI()
    app.add_middleware(Stamp)

    async def opened(name: str) -> AsyncIterator[str]:
        await asyncio.sleep(0)
        yield name
        await asyncio.sleep(0)

    def in_thread(name: str) -> str:
        return name

    @app.post("/echo/{name}")
    async def echo(
        request: Request,
        background: fastapi.BackgroundTasks,
        first: str = fastapi.Depends(opened),
        second: str = fastapi.Depends(in_thread),
    ) -> dict[str, Any]:
        assert first == second
        background.add_task(note, done, first)
        return {"name": second, "body": await request.json()}

    @app.get("/count")
    async def stream() -> StreamingResponse:
        return StreamingResponse(count())

    app.add_api_websocket_route("/talk", talk)
    return app


@pytest.fixture(params=[starlette_app, fastapi_app], ids=["starlette", "fastapi"])
def make_app(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=SERVERS.values(), ids=SERVERS)
def serving(request: pytest.FixtureRequest) -> Any:
    return request.param


@asynccontextmanager
async def asking(app: Any, serving: Serving) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    # Without TLS: a client would otherwise read all certificates of the system first, for longer than it asks here.
    options: dict[str, Any] = {"limits": httpx.Limits(max_connections=3), "timeout": 30, "verify": False}
    async with serving(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", **options) as client:
        yield client, f"ws://127.0.0.1:{port}/talk"


def test_each_answer_belongs_to_its_question(run: Run, make_app: Any, serving: Serving) -> None:
    async def ask(client: httpx.AsyncClient, number: int) -> object:
        response = await client.post(f"/echo/{number}", json=number)
        return response.status_code, response.headers["stamp"], response.json()

    async def scenario() -> object:
        done: list[str] = []
        async with asking(make_app(done), serving) as (client, _):
            answers = await asyncio.gather(*(ask(client, number) for number in range(10)))
            while len(done) < 10:
                await asyncio.sleep(0.001)
        return answers, sorted(done)

    answers = [(200, f"/echo/{n}", {"name": str(n), "body": n}) for n in range(10)]
    assert run(scenario) == (answers, [str(n) for n in range(10)])


def test_streams_and_websockets(run: Run, make_app: Any, serving: Serving) -> None:
    async def read(client: httpx.AsyncClient) -> list[str]:
        async with client.stream("GET", "/count") as response:
            return [line async for line in response.aiter_lines()]

    async def chat(url: str) -> list[str]:
        async with connect(url) as socket:
            answers = []
            for number in range(10):
                await socket.send(f"word {number}")
                answers.append(str(await socket.recv()))
            return answers

    async def scenario() -> object:
        async with asking(make_app([]), serving) as (client, url):
            return await asyncio.gather(read(client), chat(url), read(client), chat(url))

    lines, words = [str(n) for n in range(20)], [f"WORD {n}" for n in range(10)]
    assert run(scenario) == [lines, words, lines, words]
