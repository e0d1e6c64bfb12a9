"""Middleware for ASGI applications: each request is counted to the group of its route.

    app.add_middleware(PulseMiddleware)                              # Starlette, FastAPI
    app = PulseMiddleware(app, group=lambda scope: "GET /static")    # any ASGI application

A server runs every request as the same coroutine function, so all requests would be one group. With the middleware a
request is an awaited governed call, like a call of a function marked with `governed`. From its first poll on it is in the
explicit group of the route's *template*, "GET /users/{id}". The middleware makes a call, rather than
`current().update(group=...)` on the server's task, for these reasons:

* A call ends with the request. A server may handle several requests in one task, one after the other; outer middleware and
  the server continue after the request; a test client may await the application in a task of its own. None of that is
  counted to the route. However the request ends, no task keeps its group or priority.
* The call has its own account: one call is one request, whatever task runs it.
* Tasks that the request starts inherit the group through the context, each until its own end, also after the request.
  Starlette's background tasks and streamed answers run inside the call. So does a websocket, for as long as it lives.

The server's own work around the request stays in the group of the server's coroutine. On a loop that is not governed
nothing is looked up, and the application is awaited directly.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from operator import itemgetter
from typing import Any

from asyncio_pulse import _core
from asyncio_pulse.integrations.framework_templates import find_templates
from asyncio_pulse.integrations.request_rules import MAX_GROUPS, NO_ROUTE, RequestGroup, RequestRules, verb
from asyncio_pulse.policy.priority import TaskPriority

__all__ = ["PulseMiddleware"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class PulseMiddleware:
    """Puts each HTTP request and each websocket into the explicit group of its route's template.

    The template is that of the framework's router as the route's author wrote it, after the prefixes of mounts and included
    routers: "GET /users/{id:int}", "WS /feed". The routers of Starlette, FastAPI, Litestar, Quart and Django are known.
    Requests that match no route are "GET (no route)". Without a router all requests are; a raw path is never a name.
    Exceptions, cancellation, `receive`, `send` and the lifespan pass through unchanged.

    Args:
        app: The ASGI application.
        group: Names the group of a request. It is called with the request's scope, and returns 1 to 200 characters, or None
            for the template. If it raises or returns anything else, the template is used; the first failure is logged.
        priority: Shell-style patterns of group names with their priorities ("GET /health*", case matters); the first match
            wins. Or a function of the scope that may return None. Requests without a priority get that of the server's
            task, or NORMAL. Health routes (`/health*`, `/livez`, `/readyz`, `/ping`) then get HIGH.
        preemptible: Shell-style patterns of group names whose requests may be suspended anywhere in their Python code.
        max_groups: Maximum number of groups, 1..100,000. Further requests share one group, "(other routes)". It bounds
            names that `group` makes; a router has no more templates than routes.

    Raises:
        ConfigError: `max_groups`, `preemptible` or a priority of the mapping is of the wrong type or out of range.
    """

    def __init__(
        self,
        app: Application,
        *,
        group: Callable[[Scope], str | None] | None = None,
        priority: Mapping[str, TaskPriority] | Callable[[Scope], TaskPriority | None] | None = None,
        preemptible: Collection[str] = (),
        max_groups: int = MAX_GROUPS.default,
    ) -> None:
        """Prepare without looking at any request."""
        self.app = app
        self._rules: RequestRules[Scope] = RequestRules(
            "PulseMiddleware",
            itemgetter("path"),
            group=group,
            priority=priority,
            preemptible=preemptible,
            max_groups=max_groups,
        )
        self._routes = find_templates(app, self._group_of_template)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Serve one connection, as the ASGI specification describes."""
        if scope["type"] not in ("http", "websocket") or _core.current() is None:
            return await self.app(scope, receive, send)
        options = self._rules.options(scope, self._group_by_route)
        return await _core.GovernedCoroutine(self._serve(scope, receive, send), options)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> Any:
        # The options belong to this coroutine, which is ours. The application's own coroutine would count as code that
        # opted in, even if it is a library's. If it came from a function marked with `governed`, the core would take the
        # call for that function's task, and give it the function's options.
        return await self.app(scope, receive, send)

    def _group_by_route(self, scope: Scope) -> RequestGroup:
        if self._routes is None:
            # The router below comes first, because only its routes are certain to be matched against the scope's path.
            self._routes = find_templates(scope.get("app"), self._group_of_template)
        if self._routes is not None:
            try:
                return self._routes.find(scope)
            except Exception:
                self._rules.complain("route", scope)
        return self._group_of_template(scope, None)

    def _group_of_template(self, scope: Mapping[str, Any], template: str | None) -> RequestGroup:
        method = "WS" if scope["type"] == "websocket" else verb(scope["method"])
        return self._rules.group(f"{method} {template or NO_ROUTE}")
