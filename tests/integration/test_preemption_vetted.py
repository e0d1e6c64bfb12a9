"""Vetted functions of libraries are left in their middle by default, unless the program's code stands in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import _core
from tests.support import preempting
from tests.support.loops import LoopFactory
from tests.support.preempting import WITHIN_S, preemptions

fastapi = pytest.importorskip("fastapi")
encoders = pytest.importorskip("fastapi.encoders")


@pytest.fixture(autouse=True)
def _as_for_programs() -> Iterator[None]:
    _core.set_ask_percent(1)
    yield
    _core.set_ask_percent(preempting.ASK_PERCENT)


class Row:
    """What takes the encoder long."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.values = {"one": 1, "two": [2, 3]}


ROWS = [Row(number) for number in range(12_000)]


async def body_of(app: Any, path: str) -> bytes:
    """Send a request to an ASGI application, and return the body of its answer."""
    body = bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        body.extend(message.get("body", b""))

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }
    await app(
        {**scope, "http_version": "1.1", "scheme": "http", "root_path": "", "client": None, "server": None},
        receive,
        send,
    )
    return bytes(body)


def make_app() -> Any:
    app = fastapi.FastAPI()

    @app.get("/rows", response_model=None)  # type: ignore[untyped-decorator]
    async def rows() -> Any:
        return ROWS

    return app


async def beside_a_heartbeat(work: Coroutine[Any, Any, Any]) -> tuple[Any, int]:
    """Run some work. Returns its result, and how often a heartbeat of 1 ms came while it computed."""
    beats = 0
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    while not task.done():
        beats += 1
        await asyncio.sleep(0.001)
    return await task, beats


@pytest.mark.timing
def test_a_large_answer_is_left_while_it_is_encoded(loop_factory: LoopFactory) -> None:
    async def main() -> tuple[bytes, int, int]:
        app = make_app()
        before = preemptions()
        body, beats = await beside_a_heartbeat(body_of(app, "/rows"))
        return body, beats, preemptions() - before

    expected = asyncio.run(body_of(make_app(), "/rows"))
    body, beats, count = pulse.run(main(), loop_factory=loop_factory)
    assert body == expected
    assert body.count(b"values") == len(ROWS)
    # It takes some hundred milliseconds, and 20 ms at a time.
    assert beats >= count > 3


def gave_up() -> int:
    return int(pulse.get_manager().governor.preemption_record()["gave_up"])


def encode_directly() -> Callable[[], Any]:
    return lambda: encoders.jsonable_encoder(ROWS)


def encode_through_the_program() -> Callable[[], Any]:
    # The encoder of the program's own type is the program's code.
    return lambda: encoders.jsonable_encoder(
        ROWS, custom_encoder={Row: lambda row: encoders.jsonable_encoder(vars(row))}
    )


@pytest.mark.parametrize("encode", [encode_directly(), encode_through_the_program()])
def test_nothing_is_left_that_the_programs_own_code_called(
    encode: Callable[[], Any], loop_factory: LoopFactory
) -> None:
    async def work() -> None:
        encode()

    async def main() -> int:
        began = time.perf_counter()
        # On a busy machine it takes longer until one is asked.
        while time.perf_counter() < began + (WITHIN_S if gave_up() == 0 else 0.5):
            await asyncio.create_task(work())
        assert gave_up() > 0
        return preemptions()

    assert pulse.run(main(), loop_factory=loop_factory) == 0
