"""anyio on a governed loop: task groups, cancel scopes, start(), and its pytest plugin."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

import asyncio_pulse as pulse
from tests.support.comparison import compare, ending, observe
from tests.support.loops import Loop, LoopFactory


async def work(log: list[object], name: str, steps: int = 1) -> None:
    for _ in range(steps):
        await anyio.sleep(0)
    log.append(name)


async def fail(text: str) -> None:
    await anyio.sleep(0)
    raise ValueError(text)


async def serve(log: list[object], *, task_status: anyio.abc.TaskStatus[str] = anyio.TASK_STATUS_IGNORED) -> None:
    await anyio.sleep(0)
    task_status.started("ready")
    try:
        await anyio.sleep_forever()
    finally:
        log.append("stopped")


def test_task_group(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        log: list[object] = []
        async with anyio.create_task_group() as group:
            group.start_soon(work, log, "one", 3, name="first")
            group.start_soon(work, log, "two")
            log.append(sorted(task.name for task in anyio.get_running_tasks()))
        return log

    outcome = compare(loop_factory, scenario).outcome
    assert isinstance(outcome, list)
    assert outcome[1:] == ["two", "one"]


def test_task_group_with_errors(loop_factory: LoopFactory) -> None:
    async def scenario() -> object:
        async def group() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(fail, "one")
                async with anyio.create_task_group() as inner:
                    inner.start_soon(fail, "two")
                    await anyio.sleep_forever()

        return await ending(group())

    assert "ValueError: one" in str(compare(loop_factory, scenario, parked=False).outcome)


def test_start(loop_factory: LoopFactory) -> None:
    async def never_starts(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        await anyio.sleep(0)

    async def fails_to_start(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        raise ValueError("before started()")

    async def scenario() -> list[object]:
        log: list[object] = []
        async with anyio.create_task_group() as group:
            log.append(await group.start(serve, log))
            group.cancel_scope.cancel()
        for start in (never_starts, fails_to_start):
            try:
                async with anyio.create_task_group() as group:
                    await group.start(start)
            except BaseException as error:
                log.append(repr(error))
        return log

    assert "before started()" in str(compare(loop_factory, scenario).outcome)


def test_cancel_scopes(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        log: list[object] = []
        with anyio.move_on_after(0.001) as scope:
            await anyio.sleep_forever()
        log += [scope.cancelled_caught, scope.cancel_called]
        try:
            with anyio.fail_after(0.001):
                await anyio.sleep_forever()
        except TimeoutError as error:
            log.append(repr(error))
        with anyio.CancelScope() as outer:
            with anyio.CancelScope(shield=True):
                outer.cancel()
                await work(log, "shielded")
            log.append("not reached" if await ending(anyio.sleep(0)) is None else "cancelled")
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            await anyio.sleep(0)
            group.cancel_scope.cancel("enough")
        log += [await anyio.to_thread.run_sync(lambda: "thread"), asyncio.current_task().cancelling()]  # type: ignore[union-attr]
        return log

    outcome = compare(loop_factory, scenario).outcome
    assert isinstance(outcome, list)
    assert outcome[:2] == [True, True]


def test_synchronisation_and_streams(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        log: list[object] = []
        send, receive = anyio.create_memory_object_stream[int](1)
        limiter, event = anyio.CapacityLimiter(1), anyio.Event()

        async def producer() -> None:
            async with send:
                for number in range(3):
                    async with limiter:
                        await send.send(number)
            event.set()

        async with anyio.create_task_group() as group, receive:
            group.start_soon(producer)
            log += [number async for number in receive]
            await event.wait()
        return log

    assert compare(loop_factory, scenario).outcome == [0, 1, 2]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_task_group_on_a_loop_with_eager_tasks() -> None:
    """Since anyio starts its own tasks lazily there, having looked at the factory."""

    def prepare(loop: Loop) -> None:
        loop.set_task_factory(asyncio.eager_task_factory)

    async def scenario() -> list[object]:
        log: list[object] = []
        async with anyio.create_task_group() as group:
            group.start_soon(work, log, "one", 0)
            log.append("started")
            with anyio.CancelScope() as scope:
                log.append(await group.start(serve, log))
                scope.cancel()
                await anyio.sleep(0)
            group.cancel_scope.cancel()
        return log

    outcome = compare(asyncio.new_event_loop, scenario, prepare=prepare).outcome
    assert isinstance(outcome, list)
    assert outcome[0] == "started"


def test_tasks_count_in_the_group_of_their_function(loop_factory: LoopFactory) -> None:
    async def scenario() -> dict[str, int]:
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(work, [], "some", number)
            await group.start(serve, [])
            group.cancel_scope.cancel()
        return {group.name: group.tasks for group in pulse.get_manager().groups()}

    groups = observe(loop_factory, scenario, way="governed").outcome
    assert isinstance(groups, dict)
    assert groups.get("work") == 3
    assert groups.get("serve") == 1


def test_nothing_is_kept_alive_by_looking_for_the_function(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        gone: list[weakref.ref[Any]] = []

        def fails() -> Any:
            coro = fail("held")
            gone.append(weakref.ref(coro))
            return coro

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(fails)
        except ExceptionGroup as error:
            # Its traceback holds the frame of anyio's wrapper, which has let go of the coroutine.
            held = error
        await anyio.sleep(0)
        return [len(gone), gone[0]() is None, str(held)]

    outcome = compare(loop_factory, scenario).outcome
    assert isinstance(outcome, list)
    assert outcome[:2] == [1, True]


PLUGIN_TEST = """
import anyio
import asyncio
import asyncio_pulse as pulse
import pytest

pytestmark = pytest.mark.anyio
managers = []

def make_loop():
    loop = asyncio.new_event_loop()
    if {governed}:
        managers.append(pulse.install(loop=loop))
    return loop

@pytest.fixture(scope="module")
def anyio_backend():
    return ("asyncio", {"loop_factory": make_loop})

@pytest.fixture
async def resource():
    await anyio.sleep(0)
    yield "resource"
    await anyio.sleep(0)

@pytest.fixture(scope="module")
async def group():
    async with anyio.create_task_group() as group:
        yield group

async def test_fixture(resource, group):
    group.start_soon(anyio.sleep, 0)
    assert resource == "resource"

async def test_timeout():
    with anyio.move_on_after(0.001) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught

async def test_fails():
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, int, "not a number")

async def test_asserts(resource):
    await anyio.sleep(0)
    assert resource == "another"

def test_measured():
    assert bool(managers) is {governed}
    assert all(manager.get_metrics().polls > 10 for manager in managers)
"""


def plugin_output(directory: Path, governed: bool) -> str:
    (directory / "test_plugin.py").write_text(PLUGIN_TEST.replace("{governed}", str(governed)))
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-c", os.devnull, "test_plugin.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=directory, check=False)
    assert done.stderr == ""
    # From a minute on its duration stands there twice.
    return re.sub(r"0x[0-9a-f]+|\d+\.\d+s\b( \(\d+:\d\d:\d\d\))?", "", done.stdout)


def test_the_pytest_plugin(tmp_path: Path) -> None:
    plain, governed = (plugin_output(tmp_path, governed) for governed in (False, True))
    assert "2 failed, 3 passed" in plain
    assert governed.splitlines() == plain.splitlines()
