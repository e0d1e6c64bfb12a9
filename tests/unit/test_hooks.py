"""Hooks: told of every poll, free when absent, removed when they raise, and never seen by the task."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import threading
import weakref
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse.config import GroupPolicy, InterventionAction
from asyncio_pulse.lowlevel import PollResult, PreemptionHooks, TaskContext
from asyncio_pulse.metrics.model import TierChange
from tests.support.loops import LoopFactory
from tests.support.offenders import GROUP, offend, serve, strict_config


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


def test_hooks_of_a_closed_loop_go_although_they_know_its_manager(loop_factory: LoopFactory) -> None:
    class Knowing(PreemptionHooks):
        def __init__(self, manager: pulse.TierManager) -> None:
            self.manager = manager

    gone: list[weakref.ref[Any]] = []

    async def main() -> None:
        manager = pulse.get_manager()
        hooks = Knowing(manager)
        manager.hooks.register(hooks)
        gone.extend(map(weakref.ref, (hooks, manager, manager.hooks)))
        await asyncio.sleep(0)

    for _ in range(3):
        pulse.run(main(), loop_factory=loop_factory)
    gc.collect()
    assert [reference() for reference in gone] == [None] * 9


def test_hooks_registered_after_the_end_keep_nothing(loop_factory: LoopFactory) -> None:
    async def main() -> pulse.TierManager:
        return pulse.get_manager()

    manager = pulse.run(main(), loop_factory=loop_factory)
    gone = weakref.ref(manager.hooks)
    manager.hooks.register(PreemptionHooks())
    del manager
    gc.collect()
    assert gone() is None


def test_changes_of_tier_are_told_in_the_thread_of_the_loop(loop_factory: LoopFactory) -> None:
    class Recording(PreemptionHooks):
        def __init__(self) -> None:
            self.told: list[tuple[TierChange, threading.Thread]] = []

        def on_tier_change(self, change: TierChange, **kwargs: Any) -> None:
            self.told.append((change, threading.current_thread()))

        def steps_of_the_group(self) -> list[int]:
            return [change.after for change, _ in self.told if (change.account, change.name) == ("group", GROUP)]

    recording = Recording()

    async def main() -> None:
        manager = pulse.get_manager()
        manager.hooks.register(recording)
        await offend()
        assert recording.steps_of_the_group() == [1, 2]
        lower = strict_config(groups={GROUP: GroupPolicy(max_tier=InterventionAction.MONITOR)})
        # Another thread brings the group down.
        await asyncio.to_thread(manager.update_config, lower)
        await asyncio.sleep(0)
        assert recording.steps_of_the_group() == [1, 2, 0]

    pulse.run(serve(main()), config=strict_config(), loop_factory=loop_factory)
    assert {thread for _, thread in recording.told} == {threading.current_thread()}
