"""A Quart application that knows nothing of asyncio-pulse."""

from collections.abc import AsyncIterator

from quart import Blueprint, Quart, websocket

app = Quart(__name__)
inner = Blueprint("inner", __name__, url_prefix="/inner")


@app.get("/items/<int:id>")
@inner.get("/items/<int:id>")
async def item(id: int) -> str:
    return f"item {id}"


@app.get("/stream")
async def stream() -> AsyncIterator[str]:
    async def numbers() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number} "

    return numbers()


@app.get("/fails")
async def fails() -> str:
    raise LookupError("the view's own")


@app.get("/healthz")
async def health() -> str:
    return "healthy"


@app.websocket("/echo/<name>")
async def echo(name: str) -> None:
    await websocket.accept()
    await websocket.send(f"{name} {await websocket.receive()}")


app.register_blueprint(inner)
