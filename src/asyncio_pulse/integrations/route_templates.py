"""Finds the route template of a Starlette or FastAPI router that will answer a request.

The frameworks publish the route only after dispatching, and a request is often finished in that same poll. This module
therefore calls the frameworks' own `route.matches(scope)` a little earlier. Calling it for every route would double the
cost of routing, about 1 us per route. Three measures make it cheap: a route whose path begins with another segment is not
looked at, a route whose regular expression does not match the path is skipped, and results are cached in bounded number.
Neither framework is imported. The module relies on the protocol of Starlette's routes, and on FastAPI's attributes for the
routes behind an included router.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Generic, TypeVar

__all__ = ["RouteTemplates", "Templates", "applications", "find_router", "is_router", "path_below_root"]

MOST_PATHS = 1024
"""Number of cached paths. A service has fewer fixed paths, and those return at once after a stream of others."""

LONGEST_KEY = 256
"""Maximum length of a cached key: method, path and root path.

Servers accept up to 64 KiB for each part, and `MOST_PATHS` such keys would take 64 MiB.
"""

LONGEST_CHAIN = 64
"""Maximum number of nested applications. A longer chain is a cycle."""

T = TypeVar("T")

_FRAMEWORKS = ("starlette", "fastapi")


def applications(app: Any) -> Iterator[Any]:
    """Yield an application, and the ones that its middleware wraps, from outside to inside.

    Starlette's middleware keeps the wrapped application in its attribute `app`. So do others.
    """
    for _ in range(LONGEST_CHAIN):
        if app is None:
            return
        yield app
        app = getattr(app, "app", None)


def find_router(app: Any) -> Any | None:
    """Return the object with the routes: the application, or the one that its middleware wraps.

    Returns:
        An object whose attribute `routes` is a list, or None.
    """
    return next(filter(is_router, applications(app)), None)


def is_router(app: Any) -> bool:
    """Whether an object has routes that match a scope, as Starlette's have. Litestar has a list of other routes."""
    return isinstance(getattr(app, "routes", None), list) and not hasattr(app, "asgi_router")


class Templates(ABC, Generic[T]):
    """Values for the route templates of one application. Not thread-safe.

    Args:
        make: Makes the value for a template. It is called with the scope of a request and its template, or None if no route
            matches.
    """

    def __init__(self, make: Callable[[Mapping[str, Any], str | None], T]) -> None:
        """Prepare without reading any route."""
        self._make = make
        self._remembered: dict[tuple[str | None, str, str], T] = {}
        self._cacheable = True
        # Each list of routes and its length when it was read. Empty where routes cannot be added later.
        self._lists: list[tuple[Sequence[Any], int]] = []

    @abstractmethod
    def match(self, scope: Mapping[str, Any]) -> str | None:
        """Return the template of the route that will answer, or None."""

    def find(self, scope: Mapping[str, Any]) -> T:
        """Return the value for the template of the route that will answer.

        Args:
            scope: An ASGI scope of type `http` or `websocket`. It is not changed.
        """
        for routes, count in self._lists:
            if len(routes) != count:
                self._read_anew()
                break
        # A websocket has no method.
        key = (scope.get("method"), scope["path"], scope.get("root_path", ""))
        found = self._remembered.get(key)
        return self._look_up(scope, key) if found is None else found

    def _read_anew(self) -> None:
        """Read the routes again, because some were added or removed."""

    def _look_up(self, scope: Mapping[str, Any], key: tuple[str | None, str, str]) -> T:
        template = self.match(scope)
        found = self._make(scope, template)
        length = sum(len(part) for part in key if part is not None)
        if template is not None and self._cacheable and length <= LONGEST_KEY:
            if len(self._remembered) >= MOST_PATHS:
                self._remembered.clear()
            self._remembered[key] = found
        return found


class RouteTemplates(Templates[T]):
    """The templates of a Starlette or FastAPI router and of the routers below it, mounted or included.

    A template is as its author wrote it, after the prefixes. A path that exists, but not for this method, has its template
    too; the answer will be a 405. A mounted application without routes of its own has one template, `/static/{path:path}`.

    Routes may be added and removed at any time, at any level: their number is compared at each request. An exchange of
    routes that keeps the number is not noticed.

    Args:
        router: The result of `find_router`. It is read at the first request.
        make: As in `Templates`.
    """

    def __init__(self, router: Any, make: Callable[[Mapping[str, Any], str | None], T]) -> None:
        """Prepare without reading any route."""
        super().__init__(make)
        self._router = router
        self._top = _Candidates([])
        # The length never matches, so the first request reads the routes.
        self._lists = [((), 1)]

    def match(self, scope: Mapping[str, Any]) -> str | None:
        """Search all routes."""
        return self._search(self._top, dict(scope))

    def _read_anew(self) -> None:
        self._lists = []
        self._remembered.clear()
        self._cacheable = True
        self._top = self._read(self._router)

    def _search(self, candidates: _Candidates, scope: MutableMapping[str, Any]) -> str | None:
        path = path_below_root(scope)
        partial = None
        for candidate in candidates.for_path(path):
            if not candidate.may_match(path):
                continue
            match, child_scope = candidate.route.matches(scope)
            if match.name == "FULL":
                return self._template(candidate, {**scope, **child_scope})
            if match.name == "PARTIAL" and partial is None:
                partial = candidate.path
        return partial

    def _template(self, candidate: _Candidate, scope: MutableMapping[str, Any]) -> str | None:
        if not candidate.is_mount:
            return candidate.path
        if candidate.below is None:
            router = find_router(candidate.route.app)
            if router is None:
                return candidate.path + "/{path:path}"
            # Read only now, because an application may be mounted in itself.
            candidate.below = self._read(router)
        rest = self._search(candidate.below, scope)
        return None if rest is None else candidate.path + rest

    def _read(self, router: Any) -> _Candidates:
        self._lists += [(routes, len(routes)) for routes in _lists_of_routes(router)]
        candidates = [_Candidate(route) for route in _effective_routes(router.routes)]
        self._cacheable = self._cacheable and all(candidate.by_path for candidate in candidates)
        return _Candidates(candidates)


class _Candidate:
    """One route, with the facts that are known before it is matched."""

    __slots__ = ("below", "by_path", "head", "is_mount", "may_match", "path", "route")

    def __init__(self, route: Any) -> None:
        regex = getattr(route, "path_regex", None)
        self.route = route
        self.path: str = getattr(route, "path", "")
        self.is_mount = hasattr(route, "routes")
        self.below: _Candidates | None = None
        # A route that matches by host, or by the program's own code, may look at more than the path.
        own = type(route).matches.__module__.partition(".")[0] in _FRAMEWORKS
        self.may_match: Callable[[str], object] = regex.match if own and regex is not None else _any_path
        self.by_path = self.may_match is not _any_path

        self.head = _head_of(self.path, regex.pattern, regex.flags) if regex is not None and self.by_path else None


def _head_of(path: str, pattern: str, flags: int) -> str | None:
    """Return the first segment of every path that a route matches; None if there is no such segment.

    A program may have exchanged the route's regular expression, for one that ignores case for example.
    """
    head = _first_segment(path)
    literal = re.escape(f"/{head}")
    return head if flags == re.UNICODE and pattern.startswith((f"^{literal}/", f"^{literal}$")) else None


class _Candidates:
    """The routes of one router, by the first segment of their paths. Most routes need no look at a path then."""

    def __init__(self, candidates: list[_Candidate]) -> None:
        heads = {candidate.head for candidate in candidates}
        self._by_head = {head: [each for each in candidates if each.head in (head, None)] for head in heads}
        self._others = self._by_head.get(None, [])

    def for_path(self, path: str) -> list[_Candidate]:
        """Return the routes that may match a path, in the order in which they are tried."""
        return self._by_head.get(_first_segment(path), self._others)


def _first_segment(path: str) -> str:
    return path[1:].partition("/")[0]


def _any_path(path: str) -> bool:
    return True


def _lists_of_routes(router: Any) -> Iterator[Sequence[Any]]:
    yield router.routes
    for route in router.routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _lists_of_routes(included)


def _effective_routes(routes: Sequence[Any]) -> Iterator[Any]:
    """Yield the routes in the order in which they are tried, with those of included routers in place."""
    for route in routes:
        # Older FastAPI copied an included router's routes, with the prefix, into its own list. Newer versions keep the
        # router and provide such contexts (0.165 does). A context of a route that is not FastAPI's own leads to a copy.
        contexts = getattr(route, "effective_route_contexts", None)
        if contexts is None:
            yield route
        else:
            yield from (getattr(context, "starlette_route", None) or context for context in contexts())


def path_below_root(scope: Mapping[str, Any]) -> str:
    """Return the path that a router sees: the part below its mount point."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return path[len(root) :]
    return path
