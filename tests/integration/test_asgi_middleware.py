"""The middleware round a plain ASGI application: names, bounds, rules, and that nothing else changes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import TaskPriority, current, governed
from asyncio_pulse.integrations.asgi import PulseMiddleware
from asyncio_pulse.reports.text import format_reports
from tests.isolated.measuring import rounds
from tests.support.groups import explicit_groups
from tests.support.loops import LoopFactory, Run
from tests.support.offenders import burn


def request(path: str = "/", method: str = "GET") -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}


async def nothing(*_: Any) -> None: ...


async def note_view(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(0)
    scope["seen"] = current().group, current().priority


async def seen(app: Any, scope: dict[str, Any]) -> tuple[str, TaskPriority]:
    await app(scope, nothing, nothing)
    found: tuple[str, TaskPriority] = scope["seen"]
    return found


def test_without_a_router_the_path_is_no_name(run: Run) -> None:
    async def main() -> None:
        app = PulseMiddleware(note_view)
        for scope in (request("/a"), request("/b"), request("/c", "POST"), {"type": "websocket", "path": "/d"}):
            await seen(app, scope)
        assert {name: group.tasks for name, group in explicit_groups().items()} == {
            "GET (no route)": 2,
            "POST (no route)": 1,
            "WS (no route)": 1,
        }
        # Restored for the task that goes on.
        assert current().group == main.__qualname__

    run(main)


def test_methods_that_clients_make_up_are_one(run: Run) -> None:
    async def main() -> None:
        app = PulseMiddleware(note_view)
        for number in range(3):
            await seen(app, request(method=f"METHOD{number}"))
        await seen(app, request(method="WS"))
        assert list(explicit_groups()) == ["(other) (no route)"]

    run(main)


def test_a_rule_names_groups_and_leaves_the_rest_to_the_template(run: Run) -> None:
    def tenant(scope: Any) -> str | None:
        return "tenant a" if scope["path"].startswith("/a/") else None

    async def main() -> None:
        app = PulseMiddleware(note_view, group=tenant, priority={"tenant *": TaskPriority.LOW})
        assert await seen(app, request("/a/1")) == ("tenant a", TaskPriority.LOW)
        assert await seen(app, request("/b/1")) == ("GET (no route)", TaskPriority.NORMAL)

    run(main)


def test_one_group_may_have_several_priorities(run: Run) -> None:
    given = {"/high": TaskPriority.HIGH, "/low": TaskPriority.LOW, "/none": None}

    async def main() -> None:
        app = PulseMiddleware(note_view, priority=lambda scope: given[scope["path"]])
        priorities = [(await seen(app, request(path)))[1] for path in ("/high", "/low", "/high", "/none", "/low")]
        high, low = TaskPriority.HIGH, TaskPriority.LOW
        assert priorities == [high, low, high, TaskPriority.NORMAL, low]
        assert explicit_groups()["GET (no route)"].tasks == 5

    run(main)


def named(name: str) -> dict[str, Any]:
    return {"group": lambda scope: name}


def test_health_routes_are_urgent_unless_told_otherwise(run: Run) -> None:
    async def main() -> None:
        health, low = named("GET /healthz"), TaskPriority.LOW
        assert (await seen(PulseMiddleware(note_view, **health), request()))[1] is TaskPriority.HIGH
        told = PulseMiddleware(note_view, **health, priority={"GET /health*": low})
        assert (await seen(told, request()))[1] is low
        told = PulseMiddleware(note_view, **health, priority=lambda scope: low)
        assert (await seen(told, request()))[1] is low
        pulse.get_manager().update_config(pulse.TierConfig(groups={"GET /health*": pulse.GroupPolicy(priority=low)}))
        assert (await seen(PulseMiddleware(note_view, **health), request()))[1] is low
        pulse.get_manager().update_config(pulse.TierConfig(groups={"GET /health*": pulse.GroupPolicy(exempt=True)}))
        assert (await seen(PulseMiddleware(note_view, **health), request()))[1] is TaskPriority.HIGH

    run(main)


def test_patterns_say_which_requests_may_be_suspended_anywhere() -> None:
    middleware = PulseMiddleware(nothing, preemptible=["GET /report*", "* /export"])
    found = {
        name: middleware._rules.group(name).usual.preemptible
        for name in ("GET /report/{id}", "POST /export", "GET /other")
    }
    assert found == {"GET /report/{id}": True, "POST /export": True, "GET /other": None}


def test_one_pattern_is_no_collection_of_patterns() -> None:
    with pytest.raises(pulse.ConfigError, match="preemptible must be a collection of patterns"):
        PulseMiddleware(nothing, preemptible="GET *")


@pytest.mark.parametrize("answer", ["", "x" * 201, 42, b"bytes", LookupError("wrong rule")], ids=repr)
def test_a_rule_that_fails_leaves_the_request_alone(run: Run, answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    def rule(scope: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def main() -> None:
        app = PulseMiddleware(note_view, group=rule, priority=rule)
        for _ in range(3):
            assert await seen(app, request()) == ("GET (no route)", TaskPriority.NORMAL)

    with caplog.at_level(logging.ERROR, "asyncio_pulse"):
        run(main)
    # Once for each of the two rules.
    assert len(caplog.records) == 2


def test_a_router_that_fails_leaves_the_request_alone(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def __init__(self) -> None:
            self.routes = [self]

        def matches(self, scope: Any) -> Any:
            raise LookupError("wrong route")

        __call__ = staticmethod(note_view)

    async def main() -> None:
        app = PulseMiddleware(Broken())
        for _ in range(3):
            assert (await seen(app, request()))[0] == "GET (no route)"

    with caplog.at_level(logging.ERROR, "asyncio_pulse"):
        run(main)
    assert len(caplog.records) == 1


def test_names_without_end_are_bounded(run: Run) -> None:
    async def main() -> None:
        named = PulseMiddleware(note_view, group=lambda scope: scope["path"], max_groups=100)
        unnamed = PulseMiddleware(nothing)
        # A trace function, such as that of coverage, would make minutes of it.
        many = rounds(short=200_000, long=1_000_000) if sys.gettrace() is None else 50_000
        numbers = iter(range(many))

        async def grown(count: int) -> int:
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            for _, number in zip(range(count), numbers, strict=False):
                await named(request(f"/name/{number}"), nothing, nothing)
                await unnamed(request(f"/path/{number}"), nothing, nothing)
            gc.collect()
            return tracemalloc.get_traced_memory()[0] - before

        tracemalloc.start()
        try:
            first, second = await grown(1_000), await grown(10_000)
        finally:
            tracemalloc.stop()
        assert second < first
        for number in numbers:
            await unnamed(request(f"/path/{number}"), nothing, nothing)
        groups = explicit_groups()
        assert len(groups) == 100 + len(["(other routes)", "GET (no route)"])
        assert groups["(other routes)"].tasks == 11_000 - 100
        assert groups["GET (no route)"].tasks == many

    run(main)


def test_messages_and_endings_are_the_applications_own(loop_factory: LoopFactory) -> None:
    received = [{"type": "http.request", "body": b"1"}, {"type": "http.disconnect"}]

    async def answers(scope: Any, receive: Any, send: Any) -> str:
        scope["added"] = await receive()
        await send({"type": "http.response.start", "also": await receive()})
        return "a result"

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        raise scope["error"]

    def not_async(scope: Any, receive: Any, send: Any) -> Any:
        return asyncio.ensure_future(answers(scope, receive, send))

    async def serve(app: Any, scope: dict[str, Any]) -> list[object]:
        sent: list[object] = []
        messages = iter(received)

        async def receive() -> Any:
            return next(messages)

        async def send(message: Any) -> None:
            sent.append(message)

        result: object
        try:
            result = await app(scope, receive, send)
        except BaseException as error:
            result = error
        return [result, sent, scope]

    async def scenario(wrap: Callable[[Any], Any]) -> list[object]:
        errors = [ValueError("own"), asyncio.CancelledError("own"), GeneratorExit("own"), StopAsyncIteration("own")]
        outcomes = [await serve(wrap(app), request()) for app in (answers, not_async)]
        outcomes += [await serve(wrap(fails), {**request(), "error": error}) for error in errors]
        return [[str(part) for part in outcome] for outcome in outcomes]

    async def both() -> None:
        assert await scenario(PulseMiddleware) == await scenario(lambda app: app)

    for govern in (True, False):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            if govern:
                pulse.install(loop=runner.get_loop())
            runner.run(both())
            pulse.uninstall(loop=runner.get_loop())
    gc.collect()


def test_a_cancelled_request(run: Run) -> None:
    async def wait(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            scope["left"] = current().group

    async def main() -> None:
        app, scope = PulseMiddleware(wait), request()
        task = asyncio.create_task(app(scope, nothing, nothing))
        await asyncio.sleep(0)
        task.cancel("gone")
        with pytest.raises(asyncio.CancelledError, match="gone"):
            await task
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.001):
                await app(scope, nothing, nothing)
        assert scope["left"] == "GET (no route)"
        assert current().group == main.__qualname__
        group = explicit_groups()["GET (no route)"]
        assert (group.tasks, group.tasks_alive) == (2, 0)

    run(main)


@pytest.mark.parametrize("kind", ["lifespan", "something new"])
def test_other_connections_pass_through(run: Run, kind: str) -> None:
    given: list[object] = []

    async def app(*arguments: Any) -> None:
        given.extend((*arguments, current().group))

    async def main() -> None:
        scope = {"type": kind}
        own = current().group
        await PulseMiddleware(app, group=lambda scope: "never")(scope, nothing, main)
        assert given == [scope, nothing, main, own]
        assert not explicit_groups()

    run(main)


def test_an_ungoverned_loop_looks_nothing_up(loop_factory: LoopFactory) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> str:
        await asyncio.sleep(0)
        return "answer"

    def never(scope: Any) -> Any:
        raise AssertionError("asked on a loop that is not governed")

    middleware = PulseMiddleware(app, group=never, priority=never)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(middleware(request(), nothing, nothing)) == "answer"
    assert not middleware._rules._failed


def test_an_application_that_is_marked_itself(run: Run) -> None:
    async def main() -> None:
        app = PulseMiddleware(governed(group="own", priority=TaskPriority.HIGH)(note_view))
        assert await seen(app, request()) == ("own", TaskPriority.HIGH)
        assert await asyncio.create_task(seen(app, request())) == ("own", TaskPriority.HIGH)
        assert {name: group.tasks for name, group in explicit_groups().items()} == {"GET (no route)": 2, "own": 2}

    run(main)


def test_a_middleware_inside_another(run: Run) -> None:
    async def main() -> None:
        inner = PulseMiddleware(note_view, group=lambda scope: "inner")
        assert (await seen(PulseMiddleware(inner), request()))[0] == "inner"

    run(main)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_groups": 0}, "max_groups must be a whole number from 1 to 100000, got 0"),
        ({"max_groups": "many"}, "max_groups must be a whole number"),
        ({"priority": {"GET /": 4}}, "priority must be one of critical, high, normal, low, got 4"),
        ({"priority": {"GET /": "highest"}}, "priority must be one of critical, high, normal, low"),
    ],
)
def test_wrong_options_are_refused_at_once(options: dict[str, Any], text: str) -> None:
    with pytest.raises(pulse.ConfigError, match=text):
        PulseMiddleware(note_view, **options)


def test_no_framework_is_imported() -> None:
    code = "import sys; from asyncio_pulse.integrations.asgi import PulseMiddleware; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert not {"starlette", "fastapi", "uvicorn"} & set(ran.stdout.split())


def test_no_report_shows_the_middleware(loop_factory: LoopFactory) -> None:
    """GIVEN polls that nobody saw; THEN they are shown by their route, and not by the coroutine of ours around it."""

    async def handle(*_: Any) -> None:
        # Too short for the watchdog, and far beyond the budget.
        burn(500)

    async def main() -> None:
        app = PulseMiddleware(handle, group=lambda scope: "GET /short")
        for _ in range(8):
            await app(request("/short"), nothing, nothing)
        report = pulse.get_manager().report()
        [poll] = [poll for poll in report.worst_polls if poll.group == "GET /short"]
        assert (poll.sampled, poll.function, poll.filename, poll.count) == (False, "GET /short", "", 8)
        assert {change.name for change in report.tier_changes} == {"GET /short"}
        assert {(change.function, change.filename) for change in report.tier_changes} == {("GET /short", "")}
        assert "somewhere in GET /short" in str(report.tier_changes[0])
        assert "PulseMiddleware" not in format_reports([report], 10)

    pulse.run(main(), config=pulse.TierConfig(poll_budget_us=100), loop_factory=loop_factory)
