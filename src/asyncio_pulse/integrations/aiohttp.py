"""Middleware for aiohttp.web: each request is counted to the group of its resource.

    app = web.Application(middlewares=[middleware(), ...])

aiohttp's router finds the resource before it calls any middleware. A request is an awaited governed call, as with
`asyncio_pulse.integrations.asgi.PulseMiddleware`, from the middleware to the handler's end. What aiohttp does before and
after stays in the group of its own coroutine, `RequestHandler.start`. On a loop that is not governed, the handler is
awaited directly.

From CPython 3.12 on, aiohttp calls `asyncio.Task` itself to start the tasks of connections and requests at once. The task
factory does not see them, and a request in a task that is not governed cannot be governed either. The first middleware
therefore changes the functions that make the coroutines of these tasks.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from operator import attrgetter
from typing import Any

from asyncio_pulse import _core
from asyncio_pulse.integrations.request_rules import MAX_GROUPS, NO_ROUTE, RequestGroup, RequestRules, verb
from asyncio_pulse.policy.priority import TaskPriority
from asyncio_pulse.runtime.task_options import as_of_task

__all__ = ["middleware"]

Request = Any
Handler = Callable[[Request], Awaitable[Any]]


class AiohttpMiddleware:
    """What `middleware` makes."""

    __middleware_version__ = 1
    """What the decorator `aiohttp.web.middleware` sets."""

    def __init__(self, rules: RequestRules[Request]) -> None:
        """Prepare without looking at any request."""
        self._rules = rules

    async def __call__(self, request: Request, handler: Handler) -> Any:
        """Serve one request."""
        if _core.current() is None:
            return await handler(request)
        options = self._rules.options(request, self._group_of_resource)
        return await _core.GovernedCoroutine(_serve(request, handler), options)

    def _group_of_resource(self, request: Request) -> RequestGroup:
        resource = request.match_info.route.resource
        template = NO_ROUTE if resource is None else resource.canonical
        return self._rules.group(f"{verb(request.method)} {template}")


def middleware(
    *,
    group: Callable[[Request], str | None] | None = None,
    priority: Mapping[str, TaskPriority] | Callable[[Request], TaskPriority | None] | None = None,
    preemptible: Collection[str] = (),
    max_groups: int = MAX_GROUPS.default,
) -> Callable[[Request, Handler], Awaitable[Any]]:
    """Make a middleware that puts each request into the explicit group of its resource, "GET /users/{id}".

    It should be the first of the application's middlewares, so that the others run inside the group. Requests that no route
    answers are "GET (no route)".

    Args:
        group: Names the group of a request, or returns None for that of its resource.
        priority: Shell-style patterns of group names with their priorities, or a function of the request that may return
            None. Health routes without a priority get HIGH.
        preemptible: Shell-style patterns of group names whose requests may be suspended anywhere in their Python code.
        max_groups: Maximum number of groups, 1..100,000. Further requests share one group, "(other routes)".

    Raises:
        ConfigError: `max_groups`, `preemptible` or a priority of the mapping is of the wrong type or out of range.
    """
    _govern_tasks()
    return AiohttpMiddleware(
        RequestRules(
            "integrations.aiohttp.middleware",
            attrgetter("path"),
            group=group,
            priority=priority,
            preemptible=preemptible,
            max_groups=max_groups,
        )
    )


async def _serve(request: Request, handler: Handler) -> Any:
    # The handler's own coroutine is not used directly: see `integrations.asgi`.
    return await handler(request)


_MARK = "__asyncio_pulse__"


def _govern_tasks() -> None:
    handler = getattr(sys.modules.get("aiohttp.web_protocol"), "RequestHandler", None)
    for name in ("start", "_handle_request"):
        function = getattr(handler, name, None)
        if function is not None and not hasattr(function, _MARK):
            setattr(handler, name, _of_task(function))


def _of_task(function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
    @functools.wraps(function)
    def make(*args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        return as_of_task(function(*args, **kwargs))

    setattr(make, _MARK, True)
    return make
