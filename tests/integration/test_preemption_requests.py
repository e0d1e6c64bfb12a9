"""A group's policy opts in the endpoint of the requests that the middleware serves, whatever called the endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import asyncio_pulse as pulse
from asyncio_pulse.integrations.asgi import PulseMiddleware
from tests.support.preempting import preemptions, refused

SOURCE = """
async def endpoint(scope, receive, send):
    for _ in range(3_000_000):
        pass
"""


def endpoint_in(directory: str) -> Any:
    module: dict[str, Any] = {"__name__": "module_of_the_endpoint"}
    exec(compile(SOURCE, f"{directory}/module.py", "exec"), module)
    return module["endpoint"]


def as_it_is(endpoint: Any) -> Any:
    return endpoint


def in_a_task_group(endpoint: Any) -> Any:
    """As below a middleware of Starlette's, in a task whose coroutine is anyio's."""

    async def app(*arguments: Any) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(endpoint, *arguments)

    return app


@pytest.mark.parametrize("wrap", [as_it_is, in_a_task_group])
@pytest.mark.parametrize(
    ("directory", "is_left"),
    [("/srv/service", True), ("/srv/lib/site-packages/somelib", False)],
    ids=["own", "library"],
)
def test_all_code_of_the_program_opts_in(wrap: Callable[[Any], Any], directory: str, is_left: bool) -> None:
    app = PulseMiddleware(wrap(endpoint_in(directory)), group=lambda _scope: "GET /report")

    async def main() -> None:
        scope = {"type": "http", "method": "GET", "path": "/report"}
        serve: Any = app
        await asyncio.create_task(serve(scope, None, None))
        assert (preemptions() > 0) == is_left
        assert is_left or refused("module") > 0

    groups = {"GET /report": pulse.GroupPolicy(preempt="anywhere")}
    pulse.run(main(), config=pulse.TierConfig(poll_budget_us=500, groups=groups))
