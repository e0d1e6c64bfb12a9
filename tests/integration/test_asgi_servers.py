"""The middleware under real uvicorn, with Starlette and FastAPI: who is counted where, and with what priority."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed; it is part of the extra test")
pytest.importorskip("uvicorn", reason="uvicorn is not installed; it is part of the extra test")
pytest.importorskip("websockets", reason="websockets is not installed; it is part of the extra test")

import websockets.asyncio.client
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

from asyncio_pulse import TaskPriority, current, governed
from asyncio_pulse.integrations.asgi import PulseMiddleware
from asyncio_pulse.policy.group_names import bounded_name
from tests.support.groups import explicit_groups
from tests.support.loops import Run
from tests.support.web_serving import Client, ask, requests, serving


async def tell_group(request: Request) -> PlainTextResponse:
    """Answer with the group that the endpoint runs in."""
    await asyncio.sleep(0)
    return PlainTextResponse(current().group)


def fastapi_app(**options: Any) -> FastAPI:
    app, items, sub = FastAPI(openapi_url=None), APIRouter(prefix="/items"), FastAPI(openapi_url=None)

    @app.get("/users/{id}")
    @app.get("/files/{path:path}")
    @items.get("/{id}")
    @items.put("/{id}")
    @sub.get("/things/{id}")
    async def group() -> str:
        await asyncio.sleep(0)
        return current().group

    app.include_router(items, prefix="/api")
    app.mount("/sub", sub)
    app.add_middleware(PulseMiddleware, **options)
    return app


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_the_groups_are_exactly_the_templates(run: Run, http: str) -> None:
    async def main() -> None:
        async with serving(fastapi_app(), http) as port:
            paths = ["/users/1", "/users/2", "/files/a/b", "/api/items/1", "/sub/things/1", "/sub/things/2"]
            names = ["/users/{id}", "/users/{id}", "/files/{path:path}", "/api/items/{id}", *["/sub/things/{id}"] * 2]
            assert [answer.body for answer in await ask(port, *paths)] == [f'"GET {name}"' for name in names]
            assert [answer.status for answer in await ask(port, "/a", "/b", "/sub/c")] == [404] * 3
            assert [answer.status for answer in await ask(port, "/api/items/2", method="PUT")] == [200]
            assert [answer.status for answer in await ask(port, "/api/items/2", method="DELETE")] == [405]
        assert requests() == {
            "GET /users/{id}": 2,
            "GET /files/{path:path}": 1,
            "GET /api/items/{id}": 1,
            "GET /sub/things/{id}": 2,
            "PUT /api/items/{id}": 1,
            "DELETE /api/items/{id}": 1,
            "GET (no route)": 3,
        }
        groups = explicit_groups()
        # Beginning, and going on after `sleep(0)`.
        assert groups["GET /users/{id}"].polls == 2 * 2
        assert all(group.tasks_alive == 0 for group in groups.values())

    run(main)


@pytest.mark.parametrize("outside", [True, False], ids=["wrapped", "added"])
def test_starlette_wherever_the_middleware_is(run: Run, outside: bool) -> None:
    async def pass_on(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    async def main() -> None:
        app = Starlette(
            routes=[
                Route("/users/{id:int}", tell_group),
                Mount("/{tenant}", routes=[Route("/orders/{number}", tell_group)]),
            ]
        )
        # It runs what it wraps in a task of its own.
        app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
        if not outside:
            app.add_middleware(PulseMiddleware)
        async with serving(PulseMiddleware(app) if outside else app) as port:
            answers = await ask(port, "/users/1", "/acme/orders/2")
        names = ["GET /users/{id:int}", "GET /{tenant}/orders/{number}"]
        assert [answer.body for answer in answers] == names
        assert sorted(explicit_groups()) == sorted(names)

    run(main)


def test_a_middleware_between_that_hides_what_it_wraps(run: Run) -> None:
    def hiding(app: Any) -> Any:
        async def call(scope: Any, receive: Any, send: Any) -> None:
            await app(scope, receive, send)

        return call

    async def main() -> None:
        app = Starlette(routes=[Route("/users/{id}", tell_group)])
        app.add_middleware(hiding)
        app.add_middleware(PulseMiddleware)
        async with serving(app) as port:
            assert [answer.body for answer in await ask(port, "/users/1")] == ["GET /users/{id}"]

    run(main)


def test_a_template_longer_than_a_name_may_be_is_cut(run: Run) -> None:
    async def main() -> None:
        path = "/long" * 60
        app = Starlette(routes=[Route(path, tell_group)])
        app.add_middleware(PulseMiddleware)
        async with serving(app) as port:
            assert [answer.body for answer in await ask(port, path)] == [bounded_name(f"GET {path}")]

    run(main)


def test_websockets(run: Run) -> None:
    async def echo(socket: Any) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(f"{current().group} {text}")

    async def feed(socket: WebSocket) -> None:
        await echo(socket)

    async def main() -> None:
        app = FastAPI(openapi_url=None)
        app.websocket("/feed/{topic}")(feed)
        app.mount("/inner", Starlette(routes=[WebSocketRoute("/echo", echo)]))
        app.add_middleware(PulseMiddleware)
        async with serving(app) as port:
            url = f"ws://127.0.0.1:{port}"
            for path, name in (("/feed/news", "WS /feed/{topic}"), ("/inner/echo", "WS /inner/echo")):
                async with websockets.asyncio.client.connect(url + path, compression=None) as socket:
                    for text in ("a", "b"):
                        await socket.send(text)
                        assert await socket.recv() == f"{name} {text}"
                    assert explicit_groups()[name].tasks_alive == 1
            with pytest.raises(websockets.exceptions.InvalidStatus):
                await websockets.asyncio.client.connect(url + "/nothing")
        assert requests() == {"WS /feed/{topic}": 1, "WS /inner/echo": 1, "WS (no route)": 1}
        assert explicit_groups()["WS /feed/{topic}"].tasks_alive == 0

    run(main)


def test_tasks_that_a_request_starts_inherit_its_group_also_after_it(run: Run) -> None:
    seen: list[str] = []

    async def child(go_on: asyncio.Event) -> None:
        seen.append(current().group)
        await go_on.wait()
        seen.append(current().group)

    async def main() -> None:
        children, go_on = [], asyncio.Event()

        async def start(request: Request) -> PlainTextResponse:
            children.append(asyncio.create_task(child(go_on)))
            async with asyncio.TaskGroup() as group:
                inside = group.create_task(tell_group(request))
            return inside.result()

        app = Starlette(routes=[Route("/start", start)])
        app.add_middleware(PulseMiddleware)
        async with serving(app) as port:
            assert [answer.body for answer in await ask(port, "/start")] == ["GET /start"]
            assert explicit_groups()["GET /start"].tasks_alive == 1
            go_on.set()
            await asyncio.wait(children)
        assert seen == ["GET /start"] * 2
        assert requests() == {"GET /start": 1 + 2}

    run(main)


def test_concurrent_requests_do_not_mix_their_groups(run: Run) -> None:
    async def main() -> None:
        meeting = asyncio.Barrier(4)

        async def meet(request: Request) -> PlainTextResponse:
            before = current().group
            for _ in range(5):
                await meeting.wait()
            return PlainTextResponse(f"{before}, {current().group}")

        app = Starlette(routes=[Route("/one", meet), Route("/two/{id}", meet)])
        app.add_middleware(PulseMiddleware)
        async with serving(app) as port:
            answers = await asyncio.gather(*(ask(port, path) for path in ("/one", "/two/1", "/one", "/two/2")))
        one, two = "GET /one, GET /one", "GET /two/{id}, GET /two/{id}"
        assert [answer.body for each in answers for answer in each] == [one, two, one, two]
        assert requests() == {"GET /one": 2, "GET /two/{id}": 2}

    run(main)


def test_background_tasks_streams_and_dependencies_are_the_routes(run: Run) -> None:
    seen: dict[str, str] = {}

    async def note(what: str) -> None:
        await asyncio.sleep(0)
        seen[what] = current().group

    async def dependency() -> AsyncIterator[None]:
        await note("before")
        yield
        await note("after")

    async def chunks() -> AsyncIterator[str]:
        for chunk in "abc":
            await note("stream")
            yield chunk

    async def main() -> None:
        app = FastAPI(openapi_url=None)

        @app.get("/stream/{id}", dependencies=[Depends(dependency)])
        async def stream() -> StreamingResponse:
            return StreamingResponse(chunks(), background=BackgroundTask(note, "background"))

        app.add_middleware(PulseMiddleware)
        async with serving(app) as port:
            assert [answer.body for answer in await ask(port, "/stream/1")] == ["abc"]
        assert seen == dict.fromkeys(("before", "after", "stream", "background"), "GET /stream/{id}")
        assert list(explicit_groups()) == ["GET /stream/{id}"]

    run(main)


def test_an_endpoints_own_options_win_for_its_duration(run: Run) -> None:
    @governed(group="mine", priority=TaskPriority.CRITICAL)
    async def marked(request: Request) -> PlainTextResponse:
        await asyncio.sleep(0)
        view = current()

        async def afterwards() -> None:
            after.append((current().group, current().priority))

        text = f"{view.group} {view.priority.name}"
        return PlainTextResponse(text, background=BackgroundTask(afterwards))

    after: list[tuple[str, TaskPriority]] = []

    async def main() -> None:
        app = Starlette(routes=[Route("/marked", marked)])
        app.add_middleware(PulseMiddleware, priority={"*": TaskPriority.LOW})
        async with serving(app) as port:
            assert [answer.body for answer in await ask(port, "/marked")] == ["mine CRITICAL"]
        assert after == [("GET /marked", TaskPriority.LOW)]
        assert requests() == {"GET /marked": 1, "mine": 1}

    run(main)


@pytest.mark.parametrize("by", ["pattern", "function"])
def test_priorities(run: Run, by: str) -> None:
    async def priority(request: Request) -> PlainTextResponse:
        await asyncio.sleep(0)
        return PlainTextResponse(current().priority.name)

    patterns = {
        "GET /health*": TaskPriority.CRITICAL,
        "* /health*": TaskPriority.HIGH,
        "GET /report/{id}": TaskPriority.LOW,
    }

    def function(scope: Any) -> TaskPriority | None:
        of_path = {"/health/live": TaskPriority.CRITICAL, "/report/1": TaskPriority.LOW}
        return TaskPriority.HIGH if scope["method"] == "POST" else of_path.get(scope["path"])

    async def main() -> None:
        paths = ["/health/live", "/report/1", "/other"]
        routes = [Route(path, priority, methods=["GET", "POST"]) for path in ("/health/live", "/report/{id}", "/other")]
        app = Starlette(routes=routes)
        app.add_middleware(PulseMiddleware, priority=patterns if by == "pattern" else function)
        async with serving(app) as port:
            assert [answer.body for answer in await ask(port, *paths)] == ["CRITICAL", "LOW", "NORMAL"]
            assert [answer.body for answer in await ask(port, "/health/live", method="POST")] == ["HIGH"]

    run(main)


def test_a_client_that_goes_away_and_an_endpoint_that_fails(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        told = asyncio.Event()

        async def wait_for_end(request: Request) -> PlainTextResponse:
            while not await request.is_disconnected():
                await asyncio.sleep(0.005)
            told.set()
            return PlainTextResponse("nobody")

        async def fail(request: Request) -> PlainTextResponse:
            await asyncio.sleep(0)
            raise LookupError("the endpoint's own")

        app = Starlette(routes=[Route("/wait", wait_for_end), Route("/fail", fail), Route("/ok", tell_group)])
        app.add_middleware(PulseMiddleware)
        async with serving(app) as port:
            async with Client(port) as client:
                client.writer.write(b"GET /wait HTTP/1.1\r\nhost: here\r\n\r\n")
                while explicit_groups().get("GET /wait") is None:
                    await asyncio.sleep(0.005)
            await asyncio.wait_for(told.wait(), 30)
            # uvicorn closes the connection of a request that failed.
            assert [answer.status for path in ("/fail", "/ok") for answer in await ask(port, path)] == [500, 200]
        assert requests() == {"GET /wait": 1, "GET /fail": 1, "GET /ok": 1}
        assert all(group.tasks_alive == 0 for group in explicit_groups().values())

    with caplog.at_level(logging.ERROR), contextlib.suppress(asyncio.CancelledError):
        run(main)
    errors = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [str(error) for error in errors] == ["the endpoint's own"]
