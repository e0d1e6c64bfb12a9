"""The template that is found before the router is asked is that of the route that then answers."""

from __future__ import annotations

import re
import tracemalloc
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed; it is part of the extra test")

from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Match, Mount, Route, Router, WebSocketRoute

from asyncio_pulse.integrations import route_templates
from asyncio_pulse.integrations.route_templates import RouteTemplates, find_router


def templates_of(router: Any) -> RouteTemplates[str | None]:
    return RouteTemplates(router, lambda scope, template: template)


async def endpoint(request: Any) -> PlainTextResponse:
    return PlainTextResponse("answer")


async def plain_app(scope: Any, receive: Any, send: Any) -> None: ...


def request(path: str, method: str = "GET", **more: Any) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "root_path": "", "headers": [], **more}


def websocket(path: str) -> dict[str, Any]:
    return {"type": "websocket", "path": path, "root_path": "", "headers": []}


def starlette_app() -> Starlette:
    inner = Starlette(routes=[Route("/", endpoint), Route("/items/{id}", endpoint)])
    return Starlette(
        routes=[
            Route("/", endpoint),
            Route("/users/me", endpoint),
            Route("/users/{id:int}", endpoint),
            Route("/users/{id:int}", endpoint, methods=["DELETE"]),
            Route("/files/{path:path}", endpoint),
            WebSocketRoute("/feed/{topic}", endpoint),
            Mount("/inner", app=inner),
            Mount("/zipped", app=GZipMiddleware(inner)),
            Mount("/{tenant}/nested", routes=[Mount("/deeper", routes=[Route("/{leaf}", endpoint)])]),
            Mount("/static", app=plain_app),
        ]
    )


def fastapi_app() -> FastAPI:
    app = FastAPI(openapi_url=None)
    items, below, sub = APIRouter(prefix="/items"), APIRouter(), FastAPI(openapi_url=None)

    @items.get("/{id}")
    @items.put("/{id}")
    @below.get("/leaf/{name}")
    @sub.get("/things/{id}")
    @app.get("/users/{id}")
    def answer() -> None: ...

    @items.websocket("/{id}/changes")
    async def changes() -> None: ...

    items.include_router(below, prefix="/below")
    items.mount("/files", plain_app)
    app.include_router(items, prefix="/api/{version}")
    app.mount("/sub", sub)
    return app


@pytest.mark.parametrize(
    ("scope", "template"),
    [
        (request("/"), "/"),
        (request("/users/me"), "/users/me"),
        (request("/users/7"), "/users/{id:int}"),
        (request("/users/seven"), None),
        (request("/users/7", "DELETE"), "/users/{id:int}"),
        (request("/users/me", "POST"), "/users/me"),
        (request("/users/7/"), None),
        (request("/files/a/b/c.txt"), "/files/{path:path}"),
        (websocket("/feed/news"), "/feed/{topic}"),
        (request("/feed/news"), None),
        (websocket("/users/7"), None),
        (request("/inner/"), "/inner/"),
        (request("/inner/items/3"), "/inner/items/{id}"),
        (request("/inner/nothing"), None),
        (request("/zipped/items/3"), "/zipped/items/{id}"),
        (request("/acme/nested/deeper/x"), "/{tenant}/nested/deeper/{leaf}"),
        (request("/static/css/site.css"), "/static/{path:path}"),
        (request("/behind/proxy/users/7", root_path="/behind/proxy"), "/users/{id:int}"),
        (request("/users/7", root_path="/us"), "/users/{id:int}"),
        (request("/nothing"), None),
    ],
)
def test_starlette(scope: dict[str, Any], template: str | None) -> None:
    before = dict(scope)
    templates = templates_of(starlette_app())
    # The second answer is the remembered one.
    assert [templates.find(scope), templates.find(scope)] == [template, template]
    assert scope == before


@pytest.mark.parametrize(
    ("scope", "template"),
    [
        (request("/users/7"), "/users/{id}"),
        (request("/api/v1/items/7"), "/api/{version}/items/{id}"),
        (request("/api/v1/items/7", "PUT"), "/api/{version}/items/{id}"),
        (request("/api/v1/items/7", "DELETE"), "/api/{version}/items/{id}"),
        (request("/api/v1/items/below/leaf/x"), "/api/{version}/items/below/leaf/{name}"),
        (websocket("/api/v1/items/7/changes"), "/api/{version}/items/{id}/changes"),
        (request("/api/v1/files/a/b"), "/api/{version}/files/{path:path}"),
        (request("/sub/things/9"), "/sub/things/{id}"),
        (request("/items/7"), None),
    ],
)
def test_fastapi(scope: dict[str, Any], template: str | None) -> None:
    before = dict(scope)
    templates = templates_of(fastapi_app())
    assert [templates.find(scope), templates.find(scope)] == [template, template]
    assert scope == before


def test_the_first_route_that_matches_wins_and_a_full_match_beats_an_earlier_partial_one() -> None:
    routes = [
        Route("/{anything}", endpoint, methods=["POST"]),
        Route("/fixed", endpoint),
        Route("/{late}", endpoint),
    ]
    templates = templates_of(Router(routes))
    assert templates.find(request("/fixed")) == "/fixed"
    assert templates.find(request("/fixed", "POST")) == "/{anything}"
    assert templates.find(request("/fixed", "PUT")) == "/{anything}"


def test_routes_that_are_added_or_taken_away_later_count() -> None:
    app = fastapi_app()
    router = APIRouter()
    app.include_router(router, prefix="/later")
    templates = templates_of(app)
    assert templates.find(request("/later/a")) is None
    router.get("/{name}")(endpoint)
    assert templates.find(request("/later/a")) == "/later/{name}"
    app.router.routes.insert(0, Route("/later/a", endpoint))
    assert templates.find(request("/later/a")) == "/later/a"
    del app.router.routes[0]
    assert templates.find(request("/later/a")) == "/later/{name}"


def test_routes_that_are_added_to_what_is_mounted_count() -> None:
    inner = Router([Route("/{name}", endpoint)])
    templates = templates_of(Router([Mount("/inner", app=inner)]))
    assert templates.find(request("/inner/a")) == "/inner/{name}"
    inner.routes.insert(0, Route("/a", endpoint))
    assert templates.find(request("/inner/a")) == "/inner/a"


def test_what_does_not_depend_on_the_path_alone_is_asked_each_time() -> None:
    class ByHeader(Route):
        def matches(self, scope: Any) -> Any:
            match, child_scope = super().matches(scope)
            return (match if scope["headers"] == [(b"version", b"2")] else Match.NONE), child_scope

    templates = templates_of(Router([ByHeader("/x{rest}", endpoint), Route("/{name}", endpoint)]))
    for _ in range(2):
        assert templates.find(request("/xy")) == "/{name}"
        assert templates.find(request("/xy", headers=[(b"version", b"2")])) == "/x{rest}"
    by_host = templates_of(Router([Host("api.test", Router([Route("/a", endpoint)])), Route("/{name}", endpoint)]))
    for _ in range(2):
        assert by_host.find(request("/a")) == "/{name}"
        assert by_host.find(request("/a", headers=[(b"host", b"api.test")])) == "/a"


def test_a_route_that_writes_into_the_scope_writes_into_a_copy() -> None:
    class Writing(Route):
        def matches(self, scope: Any) -> Any:
            scope["times asked"] = scope.get("times asked", 0) + 1
            return super().matches(scope)

    scope = request("/a")
    assert templates_of(Router([Writing("/{name}", endpoint)])).find(scope) == "/{name}"
    assert scope == request("/a")


def test_an_application_mounted_in_itself() -> None:
    app = Starlette(routes=[Route("/leaf", endpoint)])
    app.mount("/again", app)
    templates = templates_of(app)
    assert templates.find(request("/again/again/leaf")) == "/again/again/leaf"


def test_only_routes_whose_expression_matches_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    matches = Route.matches

    def counted(route: Route, scope: Any) -> Any:
        asked.append(route.path)
        return matches(route, scope)

    counted.__module__ = Route.__module__
    monkeypatch.setattr(Route, "matches", counted)
    templates = templates_of(Router([Route(f"/all/part{number}/{{id}}", endpoint) for number in range(100)]))
    templates.find(request("/all/part99/1"))
    templates.find(request("/all/part99/1"))
    assert asked == ["/all/part99/{id}"]


def test_the_order_of_routes_counts_whatever_their_first_segment() -> None:
    middle = Route("/{kind}/{id}", endpoint)
    routes = [Route("/a/{id}", endpoint), middle, Route("/b/{id}", endpoint), Mount("/", app=plain_app)]
    templates = templates_of(Starlette(routes=routes))
    found = [templates.find(request(path)) for path in ("/a/1", "/b/1", "/c/1", "/b", "/c/1/2", "/")]
    assert found == ["/a/{id}", "/{kind}/{id}", "/{kind}/{id}", "/{path:path}", "/{path:path}", "/{path:path}"]


def test_a_route_whose_expression_the_program_exchanged() -> None:
    ignoring, longer = Route("/items/{id}", endpoint), Route("/more/{id}", endpoint)
    ignoring.path_regex = re.compile(ignoring.path_regex.pattern, re.IGNORECASE)
    longer.path_regex = re.compile("^/(much/)?more/(?P<id>[^/]+)$")
    templates = templates_of(Starlette(routes=[Route("/other", endpoint), ignoring, longer]))
    found = [templates.find(request(path)) for path in ("/ITEMS/1", "/items/1", "/much/more/1", "/more/1")]
    assert found == ["/items/{id}", "/items/{id}", "/more/{id}", "/more/{id}"]


def test_expressions_of_routes_with_another_first_segment_are_not_looked_at() -> None:
    looked: list[str] = []

    class Watched:
        def __init__(self, expression: re.Pattern[str]) -> None:
            self.pattern, self.flags, self._match = expression.pattern, expression.flags, expression.match

        def match(self, path: str) -> Any:
            looked.append(self.pattern)
            return self._match(path)

    routes = [Route("/a/{id}", endpoint), Route("/b/{id}", endpoint), Route("/b", endpoint)]
    for route in routes:
        route.path_regex = Watched(route.path_regex)  # type: ignore[assignment]
    assert templates_of(Starlette(routes=routes)).find(request("/b")) == "/b"
    assert set(looked) == {routes[1].path_regex.pattern, routes[2].path_regex.pattern}


def test_a_million_paths_take_bounded_memory() -> None:
    templates = templates_of(Router([Route("/users/{id}", endpoint), Route("/{rest:path}", plain_app)]))

    def grown(count: int) -> int:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            assert templates.find(request(f"/users/{number}")) == "/users/{id}"
        return tracemalloc.get_traced_memory()[0] - before

    tracemalloc.start()
    try:
        first = grown(2 * route_templates.MOST_PATHS)
        again = grown(20 * route_templates.MOST_PATHS)
        for length in (route_templates.LONGEST_KEY, 60_000):
            assert templates.find(request("/" + "x" * length)) == "/{rest:path}"
    finally:
        tracemalloc.stop()
    assert again < first
    assert len(templates._remembered) <= route_templates.MOST_PATHS
    assert max(len(path) for _, path, _ in templates._remembered) <= route_templates.LONGEST_KEY


def test_methods_of_any_length_are_not_kept() -> None:
    templates = RouteTemplates(Router([Route("/users/{id}", endpoint)]), lambda scope, template: template or "none")
    for number in range(100):
        scope = request("/users/1") | {"method": f"M{number}" + 60_000 * "X"}
        assert templates.find(scope) == "/users/{id}"
    assert templates._remembered == {}


def test_paths_without_a_route_do_not_push_out_the_others() -> None:
    templates = RouteTemplates(Router([Route("/users/{id}", endpoint)]), lambda scope, template: template or "none")
    assert templates.find(request("/users/1")) == "/users/{id}"
    for number in range(2 * route_templates.MOST_PATHS):
        assert templates.find(request(f"/nothing/{number}")) == "none"
    assert [path for _, path, _ in templates._remembered] == ["/users/1"]


def test_the_router_is_found_through_middleware() -> None:
    app = starlette_app()
    assert find_router(GZipMiddleware(GZipMiddleware(app))) is app
    assert find_router(app.router) is app.router
    assert find_router(plain_app) is None
    assert find_router(None) is None
    ring = GZipMiddleware(plain_app)
    ring.app = ring
    assert find_router(ring) is None
