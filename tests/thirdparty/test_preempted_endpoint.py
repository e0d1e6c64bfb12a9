"""A pure-Python endpoint under OpenTelemetry, Sentry and Starlette's middleware at once is preempted all the same."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sentry_sdk
from fastapi import FastAPI, Request, Response
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.integrations.asgi import SentryAsgiMiddleware
from sentry_sdk.transport import Transport
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint

import asyncio_pulse as pulse
from tests.support.loops import LoopFactory

ROUNDS = 2_000_000
REQUESTS = 3
BUDGET_US = 1_000


class Nowhere(Transport):
    """Sends nothing."""

    def capture_envelope(self, envelope: Any) -> None:
        pass


@pytest.fixture
def sentry() -> Iterator[None]:
    sentry_sdk.init(
        "http://key@localhost/1",
        transport=Nowhere(),
        traces_sample_rate=1.0,
        auto_session_tracking=False,
        enable_backpressure_handling=False,  # a thread that ends some seconds after its client
    )
    yield
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


async def compute() -> int:
    total = 0
    for number in range(ROUNDS):
        total += number
    return total


class Timed(BaseHTTPMiddleware):
    """One of those that run the endpoint in a task of their own."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        began = time.perf_counter()
        response = await call_next(request)
        response.headers["took"] = str(time.perf_counter() - began)
        return response


def application(exporter: InMemorySpanExporter, preemptible: bool) -> Any:
    app = FastAPI()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")

    @app.get("/report")
    @pulse.governed(preemptible=preemptible)
    async def report() -> int:
        with tracer.start_as_current_span("compute"), sentry_sdk.start_span(op="compute"):
            return await compute()

    @app.get("/limited")
    @pulse.governed(preemptible=preemptible)
    async def limited() -> int:
        # In a task of its own before 3.12, which has to be preemptible itself.
        return await asyncio.wait_for(pulse.governed(preemptible=preemptible)(compute)(), 60)

    app.add_middleware(Timed)
    return OpenTelemetryMiddleware(SentryAsgiMiddleware(app), tracer_provider=provider)


async def beat(late: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.005)
        late.append(time.perf_counter() - began - 0.005)


@pytest.mark.timing
@pytest.mark.usefixtures("sentry")
@pytest.mark.parametrize("path", ["/report", "/limited"])
def test_it_is_preempted_and_a_heartbeat_stays_prompt(loop_factory: LoopFactory, path: str) -> None:
    def latest(preemptible: bool) -> tuple[float, int]:
        exporter = InMemorySpanExporter()

        async def main() -> tuple[float, int]:
            app = application(exporter, preemptible)
            late: list[float] = []
            heart = asyncio.create_task(beat(late))
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
                answers = await asyncio.gather(*(client.get(path) for _ in range(REQUESTS)))
            await asyncio.sleep(0.01)
            heart.cancel()
            assert [answer.json() for answer in answers] == [sum(range(ROUNDS))] * REQUESTS
            # Without preemption there are few beats: the worst one of many is the fairer measure.
            return max(late) if not preemptible else statistics.quantiles(late, n=20)[-1], preempted()

        def preempted() -> int:
            return pulse.get_manager().report().preemption.preemptions

        config = pulse.TierConfig(poll_budget_us=BUDGET_US, max_tier="monitor")
        result = pulse.run(main(), config=config, loop_factory=loop_factory)
        names = [span.name for span in exporter.get_finished_spans()]
        assert names.count("compute") == (REQUESTS if path == "/report" else 0)
        return result

    late, preemptions = latest(preemptible=True)
    plainly_late, none = latest(preemptible=False)
    assert preemptions > 20
    assert none == 0
    assert late < plainly_late / 4
