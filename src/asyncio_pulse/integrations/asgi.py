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

import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from asyncio_pulse import _core
from asyncio_pulse.integrations.route_templates import RouteTemplates, find_router
from asyncio_pulse.policy.group_names import bounded_name, check_group_name
from asyncio_pulse.policy.priority import TaskPriority
from asyncio_pulse.policy.ranges import Range, check_ranges
from asyncio_pulse.runtime.afterwards import AFTERWARDS
from asyncio_pulse.runtime.origin import origin_of
from asyncio_pulse.runtime.task_options import make_options

__all__ = ["PulseMiddleware"]

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_GROUPS = Range(512, 1, 100_000)
"""Half of a loop's default maximum, so that other groups have room beside the routes."""

NO_ROUTE = "(no route)"
OTHER_ROUTES = "(other routes)"
OTHER_METHOD = "(other)"

# A client may send any word as a method. RFC 9110 and RFC 5789 define these.
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})


class PulseMiddleware:
    """Puts each HTTP request and each websocket into the explicit group of its route's template.

    The template is that of Starlette's and FastAPI's routers as the route's author wrote it, after the prefixes of mounts
    and included routers: "GET /users/{id:int}", "WS /feed". Requests that match no route are "GET (no route)". Without a
    router all requests are; a raw path is never a name. Exceptions, cancellation, `receive`, `send` and the lifespan pass
    through unchanged.

    Args:
        app: The ASGI application.
        group: Names the group of a request. It is called with the request's scope, and returns 1 to 200 characters, or None
            for the template. If it raises or returns anything else, the template is used; the first failure is logged.
        priority: Shell-style patterns of group names with their priorities ("GET /health*", case matters); the first match
            wins. Or a function of the scope that may return None. Requests without a priority get that of the server's
            task, or NORMAL.
        max_groups: Maximum number of groups, 1..100,000. Further requests share one group, "(other routes)". It bounds
            names that `group` makes; a router has no more templates than routes.

    Raises:
        ConfigError: `max_groups` or a priority of the mapping is of the wrong type or out of range.
    """

    def __init__(
        self,
        app: Application,
        *,
        group: Callable[[Scope], str | None] | None = None,
        priority: Mapping[str, TaskPriority] | Callable[[Scope], TaskPriority | None] | None = None,
        max_groups: int = MAX_GROUPS.default,
    ) -> None:
        """Prepare without looking at any request."""
        check_ranges("PulseMiddleware", {"max_groups": (max_groups, MAX_GROUPS)})
        self.app = app
        self._group_rule = group
        self._priority_rule = priority if callable(priority) else None
        self._patterns = {} if priority is None or callable(priority) else dict(priority)
        for of_pattern in self._patterns.values():
            make_options(priority=of_pattern)
        self._max_groups = max_groups
        self._groups: dict[str, _Group] = {}
        self._routes = self._routes_of(find_router(app))
        self._failed: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Serve one connection, as the ASGI specification describes."""
        if scope["type"] not in ("http", "websocket") or _core.current() is None:
            return await self.app(scope, receive, send)
        # The application's own coroutine is not used directly. If it came from a function marked with `governed`, the core
        # would take this call for that function's task, and give it the function's options.
        return await _core.GovernedCoroutine(self._serve(scope, receive, send), self._options_for(scope))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> Any:
        return await self.app(scope, receive, send)

    def _options_for(self, scope: Scope) -> _core.Options:
        group = None if self._group_rule is None else self._group_by_rule(self._group_rule, scope)
        if group is None:
            group = self._group_by_route(scope)
        priority = None if self._priority_rule is None else self._priority_by_rule(self._priority_rule, scope)
        return group.by_priority.get(priority) or group.make_options(priority)

    def _group_by_rule(self, rule: Callable[[Scope], str | None], scope: Scope) -> _Group | None:
        try:
            name = check_group_name(rule(scope))
        except Exception:
            self._complain("group", scope)
            return None
        return None if name is None else self._group(name)

    def _group_by_route(self, scope: Scope) -> _Group:
        if self._routes is None:
            # The router below comes first, because only its routes are certain to be matched against the scope's path.
            self._routes = self._routes_of(find_router(scope.get("app")))
        if self._routes is not None:
            try:
                return self._routes.find(scope)
            except Exception:
                self._complain("route", scope)
        return self._group_of_template(scope, None)

    def _routes_of(self, router: Any | None) -> RouteTemplates[_Group] | None:
        return None if router is None else RouteTemplates(router, self._group_of_template)

    def _group_of_template(self, scope: Mapping[str, Any], template: str | None) -> _Group:
        return self._group(bounded_name(f"{_verb(scope)} {template or NO_ROUTE}"))

    def _group(self, name: str) -> _Group:
        group = self._groups.get(name)
        if group is None:
            if len(self._groups) >= self._max_groups:
                name = OTHER_ROUTES
            group = self._groups.setdefault(name, _Group(name, self._priority_of(name)))
        return group

    def _priority_of(self, name: str) -> TaskPriority | None:
        return next((priority for pattern, priority in self._patterns.items() if fnmatchcase(name, pattern)), None)

    def _priority_by_rule(self, rule: Callable[[Scope], TaskPriority | None], scope: Scope) -> TaskPriority | None:
        try:
            priority = rule(scope)
            return None if priority is None else TaskPriority(priority)
        except Exception:
            self._complain("priority", scope)
            return None

    def _complain(self, what: str, scope: Scope) -> None:
        """Log an error of the program's own rule or route. It is no reason to refuse the request."""
        if what not in self._failed:
            self._failed.add(what)
            text = "%s: PulseMiddleware has no %s for %.200r; later failures are not logged"
            AFTERWARDS.call(partial(logger.error, text, origin_of(), what, scope["path"], exc_info=sys.exception()))


class _Group:
    """The options of one group's requests, by the priority from a rule."""

    __slots__ = ("_name", "_priority", "by_priority")

    def __init__(self, name: str, priority: TaskPriority | None) -> None:
        self._name = name
        self._priority = priority
        self.by_priority: dict[TaskPriority | None, _core.Options] = {}

    def make_options(self, by_rule: TaskPriority | None) -> _core.Options:
        options = make_options(group=self._name, priority=self._priority if by_rule is None else by_rule)
        self.by_priority[by_rule] = options
        return options


def _verb(scope: Mapping[str, Any]) -> str:
    if scope["type"] == "websocket":
        return "WS"
    method: str = scope["method"]
    return method if method in _METHODS else OTHER_METHOD
