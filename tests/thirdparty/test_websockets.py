"""websockets: both sides, keepalive, broadcast, closing with a reason."""

from __future__ import annotations

import asyncio

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from tests.thirdparty.conftest import Run


def test_order_is_kept_on_each_connection(run: Run) -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def talk(port: int, name: int) -> list[str]:
        async with connect(f"ws://127.0.0.1:{port}", ping_interval=0.01) as connection:
            for number in range(10):
                await connection.send(f"{name}.{number}")
            return [str(await connection.recv()) for _ in range(10)]

    async def scenario() -> object:
        async with serve(echo, "127.0.0.1", 0, ping_interval=0.01) as server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.gather(*(talk(port, name) for name in range(6)))

    assert run(scenario) == [[f"{name}.{number}" for number in range(10)] for name in range(6)]


def test_a_broadcast_reaches_all_and_the_end_has_its_reason(run: Run) -> None:
    async def listen(port: int) -> tuple[list[str], int | None, str | None]:
        heard: list[str] = []
        async with connect(f"ws://127.0.0.1:{port}") as connection:
            try:
                while True:
                    heard.append(str(await connection.recv()))
            except ConnectionClosed:
                return heard, connection.close_code, connection.close_reason

    async def scenario() -> object:
        async def welcome(connection: ServerConnection) -> None:
            await connection.wait_closed()

        async with serve(welcome, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            listeners = [asyncio.create_task(listen(port)) for _ in range(5)]
            while len(server.connections) < len(listeners):
                await asyncio.sleep(0.005)
            for number in range(10):
                broadcast(server.connections, str(number))
                await asyncio.sleep(0)
            await asyncio.gather(*(each.close(4000, "enough") for each in server.connections))
            return await asyncio.gather(*listeners)

    assert run(scenario) == [([str(number) for number in range(10)], 4000, "enough")] * 5
