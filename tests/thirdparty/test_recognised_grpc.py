"""grpc.aio: a group for each method, by hand and under `asyncio-pulse run`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

import asyncio_pulse as pulse
from asyncio_pulse import TaskPriority, current
from asyncio_pulse.integrations.grpc import PulseInterceptor
from tests.support.running import Ending, run_governed, run_plain

PROGRAM = Path(__file__).parent / "programs" / "routes_grpc.py"
METHODS = ["Get", "Watch", "Write", "Add", "Talk", "Refuse", "Stop", "Fail"]


def calls(ending: Ending) -> dict[str, int]:
    return {name: group["tasks"] for name, group in ending.groups().items() if group["explicit"]}


def test_methods_have_names_and_nothing_else_differs(tmp_path: Path) -> None:
    plain, governed = run_plain(PROGRAM), run_governed(tmp_path, PROGRAM)
    assert (governed.code, governed.stdout) == (plain.code, plain.stdout)
    assert governed.code == 0
    names = {f"shop.Items/{method}": 1 for method in METHODS}
    assert calls(governed) == {**names, "shop.Items/Get": 2, "grpc.health.v1.Health/Check": 1}


def test_the_option_turns_it_off(tmp_path: Path) -> None:
    assert calls(run_governed(tmp_path, "--no-routes", PROGRAM)) == {}


def test_a_server_with_our_interceptor_is_left_alone(tmp_path: Path) -> None:
    found = calls(run_governed(tmp_path, PROGRAM, "by hand"))
    assert len(found) == len([*METHODS, "Check"])
    assert all(name.startswith("own /") for name in found)


async def ask(**options: Any) -> list[str]:
    """Ask a server with the interceptor which group and priority two of its methods have."""

    async def tell(request: bytes, context: Any) -> bytes:
        view = current()
        return f"{view.group} {view.priority.name}".encode()

    names = {"shop.Items": "Get", "grpc.health.v1.Health": "Check"}
    server = grpc.aio.server(interceptors=[PulseInterceptor(**options)])
    for service, method in names.items():
        handlers = {method: grpc.unary_unary_rpc_method_handler(tell)}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        answers = [await channel.unary_unary(f"/{service}/{method}")(b"") for service, method in names.items()]
    await server.stop(None)
    return [answer.decode() for answer in answers]


@pytest.mark.parametrize(
    ("options", "answers"),
    [
        ({}, ["shop.Items/Get NORMAL", "grpc.health.v1.Health/Check HIGH"]),
        ({"priority": {"*": TaskPriority.LOW}}, ["shop.Items/Get LOW", "grpc.health.v1.Health/Check LOW"]),
        ({"group": lambda details: details.method[:5]}, ["/shop NORMAL", "/grpc NORMAL"]),
    ],
    ids=["nothing", "priority", "group"],
)
def test_rules(options: dict[str, Any], answers: list[str]) -> None:
    async def main() -> None:
        assert await ask(**options) == answers

    pulse.run(main())


def test_an_ungoverned_loop_looks_nothing_up() -> None:
    def never(details: Any) -> Any:
        raise AssertionError("asked on a loop that is not governed")

    assert asyncio.run(ask(group=never, priority=never)) == [" NORMAL"] * 2
