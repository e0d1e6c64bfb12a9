"""A program of asyncio in a process that has gevent: `imported` and unused, or `active`, with everything patched."""

from __future__ import annotations

import sys

if sys.argv[1] == "active":
    import gevent.monkey

    gevent.monkey.patch_all()
import asyncio

import gevent


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async for line in reader:
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def ask(port: int, name: str) -> list[str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    for number in range(10):
        writer.write(f"{name}{number}\n".encode())
        answers.append((await reader.readline()).decode().strip())
        await asyncio.sleep(0)
    writer.close()
    await writer.wait_closed()
    return answers


async def main() -> list[list[str]]:
    answered: asyncio.Queue[None] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(reader, writer)
        answered.put_nowait(None)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        answers = await asyncio.gather(*(ask(port, name) for name in "abc"))
        # One that is still there when the loop ends is cancelled, and 3.11 complains of that.
        for _ in answers:
            await answered.get()
    return [*answers, [await asyncio.to_thread(str.upper, "thread")]]


if sys.argv[1] == "active":
    # The loop runs in a greenlet, beside another one.
    ticks: list[int] = []
    beside = gevent.spawn(lambda: [(ticks.append(number), gevent.sleep(0.001)) for number in range(3)])
    result = gevent.spawn(asyncio.run, main())
    gevent.joinall([result, beside], raise_error=True)
    print(result.get(), ticks)
else:
    print(asyncio.run(main()))
