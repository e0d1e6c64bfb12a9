"""A Litestar application that knows nothing of asyncio-pulse."""

from collections.abc import AsyncIterator

from litestar import Litestar, Router, WebSocket, get, websocket
from litestar.response import Stream


@get("/items/{id:int}")
async def item(id: int) -> str:
    return f"item {id}"


@get("/stream")
async def stream() -> Stream:
    async def numbers() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number} "

    return Stream(numbers())


@get("/fails")
async def fails() -> str:
    raise LookupError("the handler's own")


@get("/healthz")
async def health() -> str:
    return "healthy"


@websocket("/echo/{name:str}")
async def echo(socket: WebSocket, name: str) -> None:
    await socket.accept()
    await socket.send_text(f"{name} {await socket.receive_text()}")
    await socket.close()


inner = Router("/inner", route_handlers=[item])
app = Litestar([item, stream, fails, health, echo, inner], openapi_config=None)
