"""OpenTelemetry and the Sentry SDK: what a request says of itself stays its own, whoever was parked in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sentry_sdk
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.integrations.asyncio import AsyncioIntegration
from sentry_sdk.transport import Transport
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.thirdparty.conftest import Run

REQUESTS = 10


async def ask_all(app: Any) -> list[int]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        answers = await asyncio.gather(*(client.get(f"/item/{number}") for number in range(REQUESTS)))
    return [answer.status_code for answer in answers]


def test_spans_have_their_own_parents(run: Run) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")

    async def part(number: str) -> None:
        with tracer.start_as_current_span(f"part {number}"):
            await asyncio.sleep(0)

    async def item(request: Request) -> Response:
        number = request.path_params["number"]
        with tracer.start_as_current_span(f"work {number}"):
            await asyncio.gather(part(number), part(number))
            await asyncio.sleep(0.001)
            trace.get_current_span().set_attribute("number", number)
        return PlainTextResponse(number)

    async def scenario() -> object:
        exporter.clear()
        app = OpenTelemetryMiddleware(Starlette(routes=[Route("/item/{number}", item)]), tracer_provider=provider)
        return await ask_all(app)

    assert run(scenario) == [200] * REQUESTS
    spans = {span.context.span_id: span for span in exporter.get_finished_spans() if span.context is not None}

    def ancestors(span: ReadableSpan) -> list[str]:
        parents = []
        while span.parent is not None:
            span = spans[span.parent.span_id]
            parents.append(span.name)
        return parents

    for number in range(REQUESTS):
        parts = [span for span in spans.values() if span.name == f"part {number}"]
        assert [ancestors(span)[0] for span in parts] == [f"work {number}"] * 2
        work = next(span for span in spans.values() if span.name == f"work {number}")
        assert dict(work.attributes or {}) == {"number": str(number)}
        root = spans[work.parent.span_id]
        assert str((root.attributes or {})["http.target"]).endswith(f"/item/{number}")


class Kept(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def capture_envelope(self, envelope: Any) -> None:
        event = envelope.get_event()
        if event is not None:
            self.events.append(event)


@pytest.fixture
def sentry() -> Iterator[Kept]:
    transport = Kept()
    sentry_sdk.init(
        "http://key@localhost/1",
        transport=transport,
        integrations=[AsyncioIntegration()],  # with a task factory of its own, before ours or after it
        traces_sample_rate=1.0,
        auto_session_tracking=False,
        enable_backpressure_handling=False,  # a thread that ends some seconds after its client
    )
    yield transport
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


def test_errors_carry_the_marks_of_their_own_request(run: Run, sentry: Kept) -> None:
    async def part(number: str) -> None:
        sentry_sdk.add_breadcrumb(message=f"part {number}")
        await asyncio.sleep(0)

    async def item(request: Request) -> Response:
        number = request.path_params["number"]
        sentry_sdk.set_tag("number", number)
        await part(number)
        await asyncio.sleep(0.001)
        for _ in range(100):
            pass  # a place of the program's own, between whose statements an opted-in task is suspended
        raise ValueError(number)

    async def scenario() -> object:
        return await ask_all(Starlette(routes=[Route("/item/{number}", item)]))

    assert run(scenario) == [500] * REQUESTS
    marks = [
        (
            event["exception"]["values"][-1]["value"],
            event["tags"]["number"],
            [crumb["message"] for crumb in event["breadcrumbs"]["values"] if crumb["message"].startswith("part")],
        )
        for event in sentry.events
    ]
    assert sorted(marks) == [(str(number), str(number), [f"part {number}"]) for number in range(REQUESTS)]
