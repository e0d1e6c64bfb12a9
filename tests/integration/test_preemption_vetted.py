"""Vetted functions of libraries are left in their middle by default, unless the program's code stands in between."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import asyncio_pulse as pulse
from tests.support.loops import LoopFactory
from tests.support.preempting import WITHIN_S, asking_as_for_programs, beside_a_heartbeat, preemptions

fastapi = pytest.importorskip("fastapi")
encoders = pytest.importorskip("fastapi.encoders")


@pytest.fixture(autouse=True)
def _as_for_programs() -> Iterator[None]:
    with asking_as_for_programs():
        yield


class Row:
    """What takes the encoder long."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.values = {"one": 1, "two": [2, 3]}


COUNT = 12_000


def rows_anew(count: int = COUNT) -> list[Row]:
    return [Row(number) for number in range(count)]


ROWS = rows_anew()

STATE = {str(number): {"number": number, "values": [1, 2]} for number in range(COUNT)}


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


def make_app(count: int = COUNT) -> Any:
    app = fastapi.FastAPI()

    @app.get("/rows", response_model=None)  # type: ignore[untyped-decorator]
    async def rows() -> Any:
        return rows_anew(count)

    return app


@pytest.mark.timing
def test_a_large_answer_is_left_while_it_is_encoded(loop_factory: LoopFactory) -> None:
    async def main() -> tuple[bytes, int, int]:
        return await beside_a_heartbeat(body_of(make_app(), "/rows"))

    expected = asyncio.run(body_of(make_app(), "/rows"))
    body, beats, count = pulse.run(main(), loop_factory=loop_factory)
    assert body == expected
    assert body.count(b"values") == len(ROWS)
    # It takes some hundred milliseconds, and 20 ms at a time.
    assert beats >= count > 3


@pytest.mark.timing
def test_an_answer_is_left_although_the_endpoint_computed_before(loop_factory: LoopFactory) -> None:
    """The endpoint's own code cannot be left. What follows it was asked late, or never, because of that."""
    app = fastapi.FastAPI()
    computed_s: list[float] = []

    @app.get("/rows", response_model=None)  # type: ignore[untyped-decorator]
    async def rows() -> Any:
        began = time.thread_time()
        while time.thread_time() - began < 0.12:
            pass
        computed_s.append(time.thread_time() - began)
        return rows_anew(8_000)

    async def main() -> list[int]:
        counts = [preemptions()]
        for _ in range(8):
            await asyncio.create_task(body_of(app, "/rows"))
            counts.append(preemptions())
        return [after - before for before, after in itertools.pairwise(counts)]

    left = pulse.run(main(), loop_factory=loop_factory)
    assert min(computed_s) >= 0.12
    # From the beginning of the encoding on, and not once.
    assert sum(count > 1 for count in left) >= 7, left


@pytest.mark.timing
def test_a_request_in_vain_does_not_spare_the_next_answer(loop_factory: LoopFactory) -> None:
    """The end of each answer is JSON text and the server's code, which cannot be left: a last request comes to nothing."""

    async def main() -> list[int]:
        app, counts = make_app(4_000), [preemptions()]
        for _ in range(20):
            await asyncio.create_task(body_of(app, "/rows"))
            counts.append(preemptions())
        assert gave_up() >= 10
        return [after - before for before, after in itertools.pairwise(counts)]

    left = pulse.run(main(), loop_factory=loop_factory)
    assert sum(count > 0 for count in left) >= 15, left


@pytest.mark.parametrize("wrap", [lambda: STATE, lambda: {"state": STATE}, STATE.items, lambda: iter(STATE.values())])
def test_nothing_is_left_that_other_tasks_can_change(wrap: Callable[[], Any], loop_factory: LoopFactory) -> None:
    async def main() -> None:
        app = fastapi.FastAPI()

        @app.get("/state", response_model=None)  # type: ignore[untyped-decorator]
        async def state() -> Any:
            return wrap()

        async def change() -> None:
            for number in itertools.count():
                STATE[f"new {number}"] = number
                del STATE[f"new {number}"]
                await asyncio.sleep(0.001)

        changing = asyncio.create_task(change())
        end = time.perf_counter() + 0.5
        while time.perf_counter() < end:
            await body_of(app, "/state")
        assert gave_up() > 0
        changing.cancel()

    pulse.run(main(), loop_factory=loop_factory)


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
