"""Finds which route template of a Starlette or FastAPI router is going to answer a request.

The frameworks tell the route only once they have dispatched, and a request is often done in that same poll: so their own
question, `route.matches(scope)`, is asked a little earlier. Asked of every route it would double the cost of routing,
about 1 us a route. Two things make it cheap: a route whose regular expression does not match the path is not asked, and
what was found is remembered, in bounded number. Neither framework is imported; what is used of them is the protocol of
Starlette's routes, and of FastAPI's what says which routes stand behind an included router.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Generic, TypeVar

__all__ = ["RouteTemplates", "find_router"]

MOST_PATHS = 1024
"""Paths remembered. A service has fewer fixed ones, and those come back at once after a stream of others."""

LONGEST_KEY = 256
"""Characters of method, path and the path's root that are worth remembering; servers take up to 64 KiB of each, which times
`MOST_PATHS` were 64 MiB."""

LONGEST_CHAIN = 64
"""Applications that may be wrapped in one another; more is a ring."""

T = TypeVar("T")

_FRAMEWORKS = ("starlette", "fastapi")


def find_router(app: Any) -> Any | None:
    """Return what has the routes: the application, or the one that its middleware wraps.

    Middleware of Starlette's kind keeps the application that it wraps in its attribute `app`.

    Returns:
        An object whose attribute `routes` is a list; None if there is none.
    """
    for _ in range(LONGEST_CHAIN):
        if app is None or isinstance(getattr(app, "routes", None), list):
            return app
        app = getattr(app, "app", None)
    return None


class RouteTemplates(Generic[T]):
    """What belongs to the route templates of one router and of those below it, mounted or included.

    Routes may be added and taken away at any time, at any level: their number is compared at each request. Only an
    exchange of as many for others goes unseen. Used in one thread at a time.

    Args:
        router: What `find_router` found; read with the first request.
        make: Makes what a request's template, or None where no route matches, stands for: called with the scope and it.
    """

    def __init__(self, router: Any, make: Callable[[Mapping[str, Any], str | None], T]) -> None:
        """Look at no route yet."""
        self._router = router
        self._make = make
        self._remembered: dict[tuple[str | None, str, str], T] = {}
        self._cacheable = True
        self._top: list[_Candidate] = []
        # Read routes, and how many there were: at first as if one had gone.
        self._lists: list[tuple[Sequence[Any], int]] = [((), 1)]

    def find(self, scope: Mapping[str, Any]) -> T:
        """Return what stands for the template of the route that is going to answer.

        The template is as its author wrote it, after the prefixes. A path that is there, but not for this method, has its
        template too (the answer is going to be a 405). What is mounted and has no routes of its own is one template,
        `/static/{path:path}`.

        Args:
            scope: An ASGI scope of type `http` or `websocket`; it is not changed.
        """
        for routes, count in self._lists:
            if len(routes) != count:
                self._read_anew()
                break
        path: str = scope["path"]
        # A websocket has no method.
        key = (scope.get("method"), path, scope.get("root_path", ""))
        found = self._remembered.get(key)
        return self._look_up(scope, key) if found is None else found

    def _look_up(self, scope: Mapping[str, Any], key: tuple[str | None, str, str]) -> T:
        template = self._search(self._top, dict(scope))
        found = self._make(scope, template)
        length = sum(len(part) for part in key if part is not None)
        if template is not None and self._cacheable and length <= LONGEST_KEY:
            if len(self._remembered) >= MOST_PATHS:
                self._remembered.clear()
            self._remembered[key] = found
        return found

    def _read_anew(self) -> None:
        self._lists = []
        self._remembered.clear()
        self._cacheable = True
        self._top = self._read(self._router)

    def _search(self, candidates: list[_Candidate], scope: MutableMapping[str, Any]) -> str | None:
        path = _path_below_root(scope)
        partial = None
        for candidate in candidates:
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
            # Only now: an application may be mounted in itself.
            candidate.below = self._read(router)
        rest = self._search(candidate.below, scope)
        return None if rest is None else candidate.path + rest

    def _read(self, router: Any) -> list[_Candidate]:
        self._lists += [(routes, len(routes)) for routes in _lists_of_routes(router)]
        candidates = [_Candidate(route) for route in _effective_routes(router.routes)]
        self._cacheable = self._cacheable and all(candidate.by_path for candidate in candidates)
        return candidates


class _Candidate:
    """One route, and what is known without asking it."""

    __slots__ = ("below", "by_path", "is_mount", "may_match", "path", "route")

    def __init__(self, route: Any) -> None:
        regex = getattr(route, "path_regex", None)
        self.route = route
        self.path: str = getattr(route, "path", "")
        self.is_mount = hasattr(route, "routes")
        self.below: list[_Candidate] | None = None
        # Not so where the host decides, or code of the program's own, which may look at anything.
        own = type(route).matches.__module__.partition(".")[0] in _FRAMEWORKS
        self.may_match: Callable[[str], object] = regex.match if own and regex is not None else _any_path
        self.by_path = self.may_match is not _any_path


def _any_path(path: str) -> bool:
    return True


def _lists_of_routes(router: Any) -> Iterator[Sequence[Any]]:
    yield router.routes
    for route in router.routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _lists_of_routes(included)


def _effective_routes(routes: Sequence[Any]) -> Iterator[Any]:
    """Give the routes in the order in which they are tried, with those of included routers in place."""
    for route in routes:
        # FastAPI copied an included router's routes, prefix added, into its own list until it came to keep the router
        # and give such contexts instead (0.165 does). A context of a route that is not FastAPI's own leads to a copy.
        contexts = getattr(route, "effective_route_contexts", None)
        if contexts is None:
            yield route
        else:
            yield from (getattr(context, "starlette_route", None) or context for context in contexts())


def _path_below_root(scope: Mapping[str, Any]) -> str:
    """Give the path that a router sees: what is left below the place where it is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return path[len(root) :]
    return path
