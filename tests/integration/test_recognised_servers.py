"""Under `asyncio-pulse run`, applications that nobody changed have a group for each route."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.routes import serve

pytest.importorskip("fastapi", reason="fastapi is not installed; it is part of the extra test")
pytest.importorskip("uvicorn", reason="uvicorn is not installed; it is part of the extra test")

UVICORN = ["-m", "uvicorn", "--port", "{port}", "--no-access-log", "--log-level", "critical"]
PATHS = ["/items/1", "/items/2", "/stream/3", "/fails", "/healthz", "/nothing"]
ROUTES = {
    "GET /items/{id}": 2,
    "GET /stream/{count}": 1 + 1,  # it starts a task
    "GET /fails": 1,
    "GET /healthz": 1,
    "GET (no route)": 1,
}


@pytest.mark.parametrize(
    "more",
    [
        ["routes_asgi:app"],
        ["--factory", "routes_asgi:make"],
        ["--loop", "asyncio", "--http", "h11", "routes_asgi:app"],
        ["--no-proxy-headers", "routes_asgi:app"],
    ],
    ids=" ".join,
)
def test_routes_have_names_and_nothing_else_differs(more: list[str], tmp_path: Path) -> None:
    plain, governed = serve([*UVICORN, *more], PATHS), serve([*UVICORN, *more], PATHS, tmp_path / "report.json")
    assert governed.routes == ROUTES
    assert governed.answers == plain.answers
    assert governed.ending.own == plain.ending.own
    assert plain.ending.stdout == "begins\nends\n"


def test_mounts(tmp_path: Path) -> None:
    served = serve([*UVICORN, "routes_asgi:starlette_app"], ["/items/a", "/inner/things/2"], tmp_path / "report.json")
    assert served.answers == [(200, b"a"), (200, b"2")]
    assert served.routes == {"GET /items/{id}": 1, "GET /inner/things/{id:int}": 1}


def test_the_option_turns_it_off(tmp_path: Path) -> None:
    served = serve([*UVICORN, "routes_asgi:app"], PATHS, tmp_path / "report.json", "--no-routes")
    assert served.answers[0][0] == 200
    assert served.routes == {}


def test_an_application_of_the_old_interface_is_still_recognised_as_one(tmp_path: Path) -> None:
    served = serve([*UVICORN, "--lifespan", "off", "routes_asgi:asgi2"], ["/a"], tmp_path / "report.json")
    assert served.answers == [(200, b"old")]
    assert served.routes == {"GET (no route)": 1}


@pytest.mark.parametrize(("app", "path"), [("added", "/items/1"), ("wrapped", "/inner/things/1")])
def test_an_application_with_our_middleware_is_left_alone(app: str, path: str, tmp_path: Path) -> None:
    served = serve([*UVICORN, f"routes_by_hand:{app}"], [path], tmp_path / "report.json")
    assert served.answers[0][0] == 200
    assert served.routes == {f"own {path}": 1}


@pytest.mark.parametrize(
    "server",
    [
        [*UVICORN, "--workers", "2", "routes_asgi:app"],
        [*UVICORN, "--reload", "routes_asgi:app"],
        ["-m", "gunicorn", "-k", "uvicorn_worker.UvicornWorker", "-b", "127.0.0.1:{port}", "routes_asgi:app"],
    ],
    ids=["workers", "reload", "gunicorn"],
)
def test_processes_that_a_server_starts(server: list[str], tmp_path: Path) -> None:
    served = serve(server, PATHS, tmp_path / "report.json")
    assert [status for status, _ in served.answers] == [200, 200, 200, 500, 200, 404]
    assert served.routes == ROUTES
