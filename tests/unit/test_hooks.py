"""Hooks: told of every poll, free when absent, removed when they raise, and never seen by the task."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse.lowlevel import PollResult, PreemptionHooks, TaskContext
from tests.conftest import LoopFactory


class Recorder(PreemptionHooks):
    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def before_poll(self, task_id: int, context: TaskContext, **kwargs: Any) -> None:
        self.events.append(("before", task_id, context))

    def after_poll(self, task_id: int, result: PollResult, duration_ns: int, **kwargs: Any) -> None:
        assert duration_ns >= 0
        self.events.append(("after", task_id, result))

    def on_yield(self, task_id: int, **kwargs: Any) -> None:
        self.events.append(("yield", task_id))

    def on_completion(self, task_id: int, **kwargs: Any) -> None:
        self.events.append(("completion", task_id))


async def yield_once_and_fail() -> None:
    await asyncio.sleep(0)
    raise LookupError("of the task's own")


async def observed(hooks: PreemptionHooks) -> None:
    pulse.get_manager().hooks.register(hooks)
    with pytest.raises(LookupError, match="of the task's own"):
        await asyncio.create_task(yield_once_and_fail())
    pulse.get_manager().hooks.unregister(hooks)
    await asyncio.sleep(0)


def test_every_poll_is_told_in_order(loop_factory: LoopFactory) -> None:
    recorder = Recorder()
    pulse.run(observed(recorder), loop_factory=loop_factory)
    [child] = {event[1] for event in recorder.events if event[0] == "completion"}
    mine = [event for event in recorder.events if event[1] == child]
    context = TaskContext(0, pulse.TaskPriority.NORMAL, "yield_once_and_fail")
    assert mine == [
        ("before", child, context),
        ("after", child, PollResult.PENDING),
        ("yield", child),
        ("before", child, context),
        ("after", child, PollResult.FAILED),
        ("completion", child),
    ]


def test_a_poll_that_was_under_way_is_not_told_half(loop_factory: LoopFactory) -> None:
    recorder = Recorder()
    pulse.run(observed(recorder), loop_factory=loop_factory)
    assert recorder.events[0][0] == "before"


def test_a_governed_call_is_no_poll_of_its_own(loop_factory: LoopFactory) -> None:
    @pulse.governed(group="call")
    async def call() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.sleep(0)
        pulse.get_manager().hooks.register(recorder)
        await call()

    recorder = Recorder()
    pulse.run(main(), loop_factory=loop_factory)
    assert {event[2].group for event in recorder.events if event[0] == "before"} == {
        "test_a_governed_call_is_no_poll_of_its_own.<locals>.main"
    } | {event[2].group for event in recorder.events if event[0] == "before" and "shutdown" in event[2].group}


@pytest.mark.parametrize("method", ["before_poll", "after_poll", "on_yield", "on_completion"])
def test_hooks_that_raise_are_removed_and_logged(
    method: str, loop_factory: LoopFactory, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(PreemptionHooks):
        calls = 0

    def fail(self: Faulty, *arguments: Any, **keywords: Any) -> None:
        type(self).calls += 1
        raise ZeroDivisionError("a fault of the hook")

    setattr(Faulty, method, fail)
    recorder = Recorder()

    async def main() -> int:
        hooks = pulse.get_manager().hooks
        hooks.register(Faulty())
        await observed(recorder)
        assert pulse.get_manager().get_metrics().internal_errors == 0
        return len(hooks)

    with caplog.at_level(logging.ERROR, "asyncio_pulse.runtime.hooks"):
        assert pulse.run(main(), loop_factory=loop_factory) == 0
    assert Faulty.calls == 1
    assert [record.message for record in caplog.records if "hooks are removed" in record.message]
    assert ("completion" in {event[0] for event in recorder.events}) is True


def test_ctrl_c_inside_a_hook_reaches_the_program(loop_factory: LoopFactory) -> None:
    class Interrupted(PreemptionHooks):
        done = False

        def after_poll(self, task_id: int, result: PollResult, duration_ns: int, **kwargs: Any) -> None:
            if not self.done:
                self.done = True
                raise KeyboardInterrupt

    received = []
    earlier = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        loop = loop_factory()
        manager = pulse.install(loop=loop)
        hooks = Interrupted()
        manager.hooks.register(hooks)
        loop.run_until_complete(asyncio.sleep(0, "done"))
        manager.hooks.unregister(hooks)
        pulse.uninstall(loop=loop)
        loop.close()
    finally:
        signal.signal(signal.SIGINT, earlier)
    assert received == [signal.SIGINT]


def test_only_hooks_are_registered() -> None:
    manager = pulse.TierManager()
    with pytest.raises(TypeError, match="instance of PreemptionHooks"):
        manager.hooks.register(object())  # type: ignore[arg-type]
    manager.hooks.unregister(PreemptionHooks())
    assert len(manager.hooks) == 0


def test_hooks_that_override_nothing_do_nothing(loop_factory: LoopFactory) -> None:
    pulse.run(observed(PreemptionHooks()), loop_factory=loop_factory)
