"""Web services that know nothing of asyncio-pulse, one for each way to have, or not to have, our middleware."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.applications import Starlette
from starlette.routing import Mount, Route


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
    app.state.kept = "state of the application"
    print("begins", flush=True)
    yield {"given": "state of the lifespan"}
    print("ends", flush=True)


app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.get("/items/{id}")
async def item(id: int, request: Request) -> list[object]:
    return [id, request.app.state.kept, request.state.given, type(request.app).__name__]


@app.get("/stream/{count}")
async def stream(count: int) -> StreamingResponse:
    async def numbers() -> AsyncIterator[str]:
        for number in range(count):
            yield f"{number} "

    return StreamingResponse(numbers())


@app.get("/fails")
async def fails() -> None:
    raise LookupError("the endpoint's own")


@app.get("/healthz")
async def health() -> str:
    return "healthy"


def make() -> FastAPI:
    return app


async def answer(request: Any) -> PlainTextResponse:
    return PlainTextResponse(str(request.path_params["id"]))


starlette_app = Starlette(
    routes=[Route("/items/{id}", answer), Mount("/inner", routes=[Route("/things/{id:int}", answer)])]
)


def asgi2(scope: Any) -> Any:
    """An application of the old interface, which uvicorn tells by looking at it."""

    async def serve(receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        await send({"type": "http.response.body", "body": b"old"})

    return serve
