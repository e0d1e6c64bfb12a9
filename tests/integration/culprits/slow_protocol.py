"""A protocol whose data_received takes its time; no task is running."""

import asyncio
import time

CLASS = "on-cpu"
IS_TASK = False


class Slow(asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        end = time.monotonic() + 0.4
        while time.monotonic() < end:  # <- here
            sum(range(1000))  # <- here


async def culprit() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Slow, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    writer.write(b"x")
    await asyncio.sleep(0.6)
    writer.close()
    await writer.wait_closed()
    server.close()
