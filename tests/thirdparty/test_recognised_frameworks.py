"""Litestar, Quart and Django, and the servers beside uvicorn: a group for each route under `asyncio-pulse run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar, asgi, get
from litestar.types import Receive, Scope, Send
from quart import Quart
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.sync.client import connect
from werkzeug.routing import BaseConverter

from asyncio_pulse.integrations.framework_templates import find_templates
from tests.support.routes import serve

PROGRAMS = Path(__file__).parent / "programs"
UVICORN = [
    "-m",
    "uvicorn",
    "--app-dir",
    str(PROGRAMS),
    "--port",
    "{port}",
    "--no-access-log",
    "--log-level",
    "critical",
]
PATHS = ["/items/1", "/items/2", "/inner/items/3", "/stream", "/fails", "/healthz", "/nothing"]
TEMPLATES = {
    "litestar": {"GET /items/{id}", "GET /inner/items/{id}"},
    "quart": {"GET /items/<int:id>", "GET /inner/items/<int:id>"},
    "django": {"GET /items/<int:id>", "GET /inner/items/<int:id>"},
}
FIXED = {"GET /stream", "GET /fails", "GET /healthz", "GET (no route)"}


def talk(port: int) -> bytes:
    with connect(f"ws://127.0.0.1:{port}/echo/me") as socket:
        socket.send("hello")
        return str(socket.recv()).encode()


@pytest.mark.parametrize("framework", TEMPLATES)
def test_routes_have_names_and_nothing_else_differs(framework: str, tmp_path: Path) -> None:
    command = [*UVICORN, f"routes_{framework}:app"]
    plain, governed = serve(command, PATHS), serve(command, PATHS, tmp_path / "report.json")
    assert governed.routes.keys() == TEMPLATES[framework] | FIXED
    assert governed.answers == plain.answers
    assert governed.ending.code == plain.ending.code
    assert [status for status, _ in plain.answers] == [200, 200, 200, 200, 500, 200, 404]


@pytest.mark.parametrize("framework", ["litestar", "quart"])
def test_websockets(framework: str, tmp_path: Path) -> None:
    command = [*UVICORN, f"routes_{framework}:app"]
    served = serve(command, [talk], tmp_path / "report.json")
    assert served.answers == [b"me hello"]
    assert [name.partition("/echo/")[0] for name in served.routes] == ["WS "]


@pytest.mark.parametrize("framework", TEMPLATES)
def test_the_option_turns_it_off(framework: str, tmp_path: Path) -> None:
    served = serve([*UVICORN, f"routes_{framework}:app"], PATHS[:1], tmp_path / "report.json", "--no-routes")
    assert served.answers == [(200, b"item 1")]
    assert served.routes == {}


def request(path: str) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}


def template(scope: Any, template: str | None) -> str | None:
    return template


def test_routes_of_litestar_that_litestar_gives_no_template() -> None:
    @get(["/", "/fixed"])
    async def fixed() -> None: ...

    @asgi("/mounted", is_mount=True, copy_scope=False)
    async def mounted(scope: Scope, receive: Receive, send: Send) -> None: ...

    app = Litestar([fixed, mounted], openapi_config=None, logging_config=None)
    templates = find_templates(app, template)
    assert templates is not None
    found = [templates.find(request(path)) for path in ("/", "/fixed", "/mounted", "/mounted/a/b", "/other")]
    assert found == ["/", "/fixed", "/mounted/{path:path}", "/mounted/{path:path}", None]


def test_a_version_of_litestar_that_gives_only_routes_with_parameters_a_template(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @get(["/fixed", "/other"])
    async def fixed() -> None: ...

    app = Litestar([fixed], openapi_config=None, logging_config=None)
    # What 2.12 returns.
    monkeypatch.setattr(app.asgi_router, "handle_routing", lambda path, method: (app, fixed, path, {}, ""))
    templates = find_templates(app, template)
    assert templates is not None
    assert [templates.find(request(path)) for path in ("/fixed", "/other/")] == ["/fixed", "/other"]


def test_an_application_of_another_framework_below_a_mount() -> None:
    templates = find_templates(Starlette(routes=[Mount("/below", app=Litestar([], logging_config=None))]), template)
    assert templates is not None
    assert templates.find(request("/below/items/1")) == "/below/{path:path}"


@pytest.mark.parametrize("option", ["host_matching", "subdomain_matching"])
def test_routes_that_depend_on_the_host_are_not_found_by_their_path(option: str) -> None:
    more = {option: True, "static_host": "here"} if option == "host_matching" else {}
    app = Quart(__name__, **more)
    app.subdomain_matching = option == "subdomain_matching"
    assert find_templates(app, template) is None


def test_an_error_of_the_router_itself_is_no_missing_route() -> None:
    class Broken(BaseConverter):
        def to_python(self, value: str) -> str:
            raise LookupError(value)

    app = Quart(__name__)
    app.url_map.converters["broken"] = Broken
    app.get("/items/<broken:id>")(template)
    templates = find_templates(app, template)
    assert templates is not None
    with pytest.raises(LookupError):
        templates.find(request("/items/1"))
    assert templates.find(request("/nothing")) is None


SERVERS = {
    "hypercorn": ["hypercorn", "--bind", "127.0.0.1:{port}"],
    "hypercorn workers": ["hypercorn", "--workers", "2", "--bind", "127.0.0.1:{port}"],
    "granian": ["granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}", "--no-log"],
    "granian without lifespan": [
        "granian",
        "--interface",
        "asginl",
        "--host",
        "127.0.0.1",
        "--port",
        "{port}",
        "--no-log",
    ],
    "gunicorn": ["gunicorn", "-k", "asgi", "-b", "127.0.0.1:{port}"],
}


@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_servers(server: list[str], tmp_path: Path) -> None:
    paths = ["/items/1", "/stream/3", "/healthz", "/nothing"]
    plain = serve(["-m", *server, "routes_asgi:app"], paths)
    governed = serve(["-m", *server, "routes_asgi:app"], paths, tmp_path / "report.json")
    assert governed.routes.keys() == {"GET /items/{id}", "GET /stream/{count}", "GET /healthz", "GET (no route)"}
    assert governed.answers == plain.answers
    assert governed.ending.code == plain.ending.code
    # Lines of two workers may mix.
    assert sorted(governed.ending.stdout) == sorted(plain.ending.stdout)
