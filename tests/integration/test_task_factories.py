"""The task factories of Sentry and aiomonitor, before and after ours: tasks are governed, and theirs stays in place."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
import sentry_sdk.transport
from sentry_sdk.integrations.asyncio import AsyncioIntegration

import asyncio_pulse as pulse
from tests.support.comparison import ending
from tests.support.loops import Loop

with warnings.catch_warnings():
    # Its use of click is deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import aiomonitor

STEPS = 5


async def work(steps: int = STEPS) -> str:
    for _ in range(steps):
        await asyncio.sleep(0)
    return "done"


async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("as told")


def work_is_counted_in_full(manager: pulse.TierManager, tasks: int = 1) -> bool:
    groups = {group.name: (group.tasks, group.polls) for group in manager.groups()}
    return groups.get("work") == (tasks, tasks * (STEPS + 1))


class KeepingTransport(sentry_sdk.transport.Transport):
    """Sends nothing."""

    kept: list[Any] = []  # noqa: RUF012

    def capture_envelope(self, envelope: Any) -> None:
        self.kept.append(envelope.get_event())


@pytest.fixture
def sentry() -> Iterator[list[Any]]:
    """Give the events that a real Sentry client would send."""
    KeepingTransport.kept.clear()
    sentry_sdk.init(
        dsn="https://key@localhost/1",
        transport=KeepingTransport,
        default_integrations=False,
        auto_enabling_integrations=False,
        auto_session_tracking=False,
        traces_sample_rate=1.0,
    )
    sentry_sdk.get_client().integrations["asyncio"] = AsyncioIntegration()
    yield KeepingTransport.kept
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


@pytest.mark.parametrize("order", ["before", "after"])
def test_sentry(any_loop: Loop, sentry: list[Any], order: str) -> None:
    async def main() -> pulse.TierManager:
        if order == "before":
            AsyncioIntegration.setup_once()
        manager = pulse.install()
        if order == "after":
            AsyncioIntegration.setup_once()
        theirs_or_ours = asyncio.get_running_loop().get_task_factory()
        assert await asyncio.gather(work(), work()) == ["done", "done"]
        await asyncio.gather(asyncio.create_task(fail()), return_exceptions=True)
        assert work_is_counted_in_full(manager, tasks=2)
        assert [group.name for group in manager.groups() if group.name not in ("work", "fail")] == []
        pulse.uninstall()
        left = asyncio.get_running_loop().get_task_factory()
        assert getattr(left, "_is_sentry_task_factory", False)
        assert (left is theirs_or_ours) is (order == "after")
        assert await asyncio.create_task(work()) == "done"
        await asyncio.gather(asyncio.create_task(fail()), return_exceptions=True)
        return manager

    manager = any_loop.run_until_complete(main())
    assert work_is_counted_in_full(manager, tasks=2)
    errors = [event["exception"]["values"][-1] for event in sentry if event and "exception" in event]
    assert [error["value"] for error in errors] == ["as told", "as told"]
    assert errors[0]["stacktrace"]["frames"][-1]["function"] == "fail"


def test_sentry_is_set_up_once_whoever_stands_in_front(any_loop: Loop, sentry: list[Any]) -> None:
    async def main() -> None:
        AsyncioIntegration.setup_once()
        pulse.install()
        in_front = asyncio.get_running_loop().get_task_factory()
        AsyncioIntegration.setup_once()
        assert asyncio.get_running_loop().get_task_factory() is in_front
        pulse.uninstall()

    any_loop.run_until_complete(main())


@pytest.fixture
def loop_for_aiomonitor(any_loop: Loop) -> Loop:
    if sys.version_info >= (3, 13) and not isinstance(any_loop, asyncio.BaseEventLoop):
        pytest.skip("uvloop hands factories a keyword, eager_start, that aiomonitor's does not take")
    return any_loop


@contextlib.contextmanager
def watched_by_aiomonitor(loop: Loop) -> Iterator[aiomonitor.Monitor]:
    with warnings.catch_warnings():
        # Its thread uses what is deprecated, and as an error that would end the thread.
        warnings.simplefilter("ignore")
        with aiomonitor.start_monitor(
            loop, host="127.0.0.1", port=0, webui_port=0, console_enabled=False, hook_task_factory=True
        ) as monitor:
            yield monitor


def test_aiomonitor_before(loop_for_aiomonitor: Loop) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with watched_by_aiomonitor(loop) as monitor:
            theirs = loop.get_task_factory()
            manager = pulse.install()
            task = asyncio.create_task(work())
            assert type(task).__name__ == "TracedTask"
            assert await task == "done"
            assert "as told" in str(await ending(asyncio.create_task(fail())))
            assert work_is_counted_in_full(manager)
            assert {group.name for group in manager.groups()} == {"work", "fail"}
            waiting = asyncio.create_task(work(steps=1000), name="waiting")
            await asyncio.sleep(0)
            assert "work" in str(monitor.format_running_task_list("waiting", False))
            waiting.cancel()
            await asyncio.wait([waiting])
            pulse.uninstall()
            assert loop.get_task_factory() == theirs
            assert await asyncio.create_task(work()) == "done"
            assert manager.get_metrics().tasks == 3

    loop_for_aiomonitor.run_until_complete(main())


def test_aiomonitor_after(loop_for_aiomonitor: Loop) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        manager = pulse.install()
        ours = loop.get_task_factory()
        with watched_by_aiomonitor(loop):
            # It makes its tasks itself, so they are out of our sight; nothing else changes.
            assert loop.get_task_factory() is not ours
            assert await asyncio.create_task(work()) == "done"
            assert manager.get_metrics().tasks == 0
        assert loop.get_task_factory() is ours
        assert await asyncio.create_task(work()) == "done"
        assert work_is_counted_in_full(manager)
        pulse.uninstall()
        assert loop.get_task_factory() is None

    loop_for_aiomonitor.run_until_complete(main())


def test_aiomonitor_after_and_still_there_at_uninstall(loop_for_aiomonitor: Loop) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        pulse.install()
        with watched_by_aiomonitor(loop):
            theirs = loop.get_task_factory()
            pulse.uninstall()
            assert loop.get_task_factory() == theirs
        # It puts back what it found: ours, which lets everything pass.
        assert await asyncio.create_task(work()) == "done"
        loop.set_task_factory(None)

    loop_for_aiomonitor.run_until_complete(main())
