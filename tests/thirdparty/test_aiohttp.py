"""aiohttp's client and server: answers, streams, websockets, and a client that gives up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from tests.thirdparty.conftest import Run

LEFT = web.AppKey("left", list)


async def echo(request: web.Request) -> web.Response:
    return web.json_response({"path": request.path, "body": await request.json()})


async def count(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(20):
        await response.write(f"{number}\n".encode())
    await response.write_eof()
    return response


async def talk(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data.upper())
    return socket


async def wait(request: web.Request) -> web.Response:
    try:
        await asyncio.sleep(30)
    finally:
        request.app[LEFT].append(request.path)
    return web.Response()


@asynccontextmanager
async def served() -> AsyncIterator[tuple[web.Application, aiohttp.ClientSession]]:
    app = web.Application()
    app[LEFT] = []
    app.add_routes([web.post("/echo/{name}", echo), web.get("/count", count), web.get("/talk", talk)])
    app.add_routes([web.get("/wait", wait)])
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        connector = aiohttp.TCPConnector(limit=3)
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession(f"http://{host}:{port}", connector=connector) as session:
            yield app, session
    finally:
        await runner.cleanup()


def test_each_answer_belongs_to_its_question(run: Run) -> None:
    async def ask(session: aiohttp.ClientSession, number: int) -> object:
        async with session.post(f"/echo/{number}", json=number) as response:
            return await response.json()

    async def scenario() -> object:
        async with served() as (_, session):
            return await asyncio.gather(*(ask(session, number) for number in range(20)))

    assert run(scenario) == [{"path": f"/echo/{number}", "body": number} for number in range(20)]


def test_streams_and_websockets(run: Run) -> None:
    async def read(session: aiohttp.ClientSession) -> list[bytes]:
        async with session.get("/count") as response:
            return [line async for line in response.content]

    async def chat(session: aiohttp.ClientSession) -> list[str]:
        async with session.ws_connect("/talk") as socket:
            answers = []
            for number in range(10):
                await socket.send_str(f"word {number}")
                answers.append(await socket.receive_str())
            return answers

    async def scenario() -> object:
        async with served() as (_, session):
            return await asyncio.gather(read(session), chat(session), read(session), chat(session))

    lines, words = [f"{n}\n".encode() for n in range(20)], [f"WORD {n}" for n in range(10)]
    assert run(scenario) == [lines, words, lines, words]


def test_a_client_that_gives_up_ends_the_handler(run: Run) -> None:
    async def give_up(session: aiohttp.ClientSession) -> str:
        try:
            await session.get("/wait", timeout=aiohttp.ClientTimeout(total=0.2))
        except TimeoutError:
            return "timeout"
        return "answer"

    async def scenario() -> object:
        async with served() as (app, session):
            endings = await asyncio.gather(*(give_up(session) for _ in range(6)))
            async with session.post("/echo/after", json=0) as response:
                status = response.status
            # A connection's end reaches its handler a few turns later; one that got no connection never reached any.
            async with asyncio.timeout(10):
                while len(app[LEFT]) < 3:
                    await asyncio.sleep(0.01)
            return endings, status

    assert run(scenario) == (["timeout"] * 6, 200)
