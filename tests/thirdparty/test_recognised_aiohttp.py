"""aiohttp.web: a group for each resource, by hand and under `asyncio-pulse run`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

import asyncio_pulse as pulse
from asyncio_pulse import TaskPriority, current
from asyncio_pulse.integrations.aiohttp import middleware
from asyncio_pulse.runtime.task_options import as_of_task
from tests.support.groups import explicit_groups
from tests.support.loops import LoopFactory
from tests.support.routes import serve

PROGRAM = Path(__file__).parent / "programs" / "routes_aiohttp.py"
PATHS = ["/items/1", "/items/2", "/inner/items/a", "/stream", "/fails", "/healthz", "/nothing"]


def test_resources_have_names_and_nothing_else_differs(tmp_path: Path) -> None:
    command = [str(PROGRAM), "{port}"]
    plain, governed = serve(command, PATHS), serve(command, PATHS, tmp_path / "report.json")
    assert governed.routes == {
        "GET /items/{id}": 2,
        "GET /inner/items/{id}": 1,
        "GET /stream": 1,
        "GET /fails": 1,
        "GET /healthz": 1,
        "GET (no route)": 1,
    }
    # The application has one middleware more.
    assert plain.answers[0] == (200, b"item 1, 1 middlewares")
    assert governed.answers[:2] == [(200, b"item 1, 2 middlewares"), (200, b"item 2, 2 middlewares")]
    assert governed.answers[2:] == plain.answers[2:]
    assert (governed.ending.code, governed.ending.stdout) == (plain.ending.code, plain.ending.stdout)


def test_the_option_turns_it_off(tmp_path: Path) -> None:
    served = serve([str(PROGRAM), "{port}"], PATHS, tmp_path / "report.json", "--no-routes")
    assert served.answers[0] == (200, b"item 1, 1 middlewares")
    assert served.routes == {}


def test_an_application_with_our_middleware_is_left_alone(tmp_path: Path) -> None:
    served = serve([str(PROGRAM), "{port}", "by hand"], ["/items/1", "/stream"], tmp_path / "report.json")
    assert served.routes == {"own /items/1": 1, "own /stream": 1}


async def tell(request: web.Request) -> web.Response:
    view = current()
    return web.Response(text=f"{view.group} {view.priority.name}")


async def ask(*paths: str, **options: Any) -> list[str]:
    """Ask an application with the middleware for each path."""
    app = web.Application(middlewares=[middleware(**options)])
    app.add_routes([web.get("/items/{id}", tell), web.get("/readyz", tell)])
    async with TestClient(TestServer(app)) as client:
        return [await (await client.get(path)).text() for path in paths]


def test_rules(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        assert await ask("/items/1", "/readyz") == ["GET /items/{id} NORMAL", "GET /readyz HIGH"]
        low = {"GET *": TaskPriority.LOW}
        assert await ask("/items/1", "/readyz", priority=low) == ["GET /items/{id} LOW", "GET /readyz LOW"]
        named = await ask("/items/1", "/readyz", group=lambda request: request.match_info.get("id"))
        assert named == ["1 NORMAL", "GET /readyz HIGH"]
        assert {"GET /items/{id}", "GET /readyz", "1"} <= set(explicit_groups())

    pulse.run(main(), loop_factory=loop_factory)


def test_an_ungoverned_loop_looks_nothing_up(loop_factory: LoopFactory) -> None:
    def never(request: Any) -> Any:
        raise AssertionError("asked on a loop that is not governed")

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(ask("/items/1", group=never, priority=never)) == [" NORMAL"]


def test_tasks_that_the_task_factory_does_not_see(loop_factory: LoopFactory) -> None:
    """What aiohttp does from CPython 3.12 on, on every version."""

    async def work() -> bool:
        await asyncio.sleep(0)
        return current().group.endswith("work")

    async def main() -> list[bool]:
        loop = asyncio.get_running_loop()
        return [await asyncio.Task(work(), loop=loop), await asyncio.Task(as_of_task(work()), loop=loop)]

    assert pulse.run(main(), loop_factory=loop_factory) == [False, True]
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(main()) == [False, False]


def test_the_tasks_of_a_connection_and_of_a_request_are_governed(loop_factory: LoopFactory) -> None:
    async def main() -> list[str]:
        await ask("/items/1")
        return [group.name for group in pulse.install().groups()]

    names = pulse.run(main(), loop_factory=loop_factory)
    assert any("RequestHandler.start" in name for name in names), names
    assert any("RequestHandler._handle_request" in name for name in names), names
