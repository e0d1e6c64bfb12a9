"""The mode "off": nothing of ours is on the loop or in the process, and every public call keeps working."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import _core
from asyncio_pulse.lowlevel import PollResult, TaskContext, process_report
from asyncio_pulse.runtime.settings import MODE_VARIABLE
from tests.support.loops import LoopFactory

OFF = pulse.TierConfig(mode="off")
GIVEN = 10
PATIENCE_S = 20
Loop = asyncio.AbstractEventLoop


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the environment of the tests may say."""
    monkeypatch.delenv(MODE_VARIABLE, raising=False)


def traces(loop: Loop) -> dict[str, Any]:
    """Everything of ours that could be seen on a loop and in the process."""
    selector = getattr(loop, "_selector", None)
    return {
        "factory": loop.get_task_factory(),
        "selector": None if selector is None else type(getattr(selector, "_selector", None)),
        "signals": [
            signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGURG, signal.SIGHUP)
        ],
        "collector": list(gc.callbacks),
        "threads": threading.active_count(),
        "watchdog": _core.watchdog_wake_ups(),
    }


@pytest.fixture
def loop(any_loop: Loop) -> Iterator[Loop]:
    yield any_loop
    pulse.uninstall(loop=any_loop)


async def work() -> str:
    pulse.current().update(group="tenant 7")
    await pulse.checkpoint()
    # By the clock, so either is right on a busy machine.
    assert isinstance(pulse.budget_spent(), bool)
    with pulse.no_preempt():
        await asyncio.sleep(0)
    return pulse.current().group


@pulse.governed(group="jobs", priority=pulse.TaskPriority.LOW)
async def job() -> str:
    return await work()


async def every_call() -> list[str]:
    manager = pulse.get_manager()
    (
        manager.groups(),
        manager.tasks(),
        manager.audit(),
        manager.report().stalls,
        manager.report().slow_queue,
        manager.report().loop_tiers[0],
    )
    spawned = pulse.spawn(work(), group="jobs", priority=pulse.TaskPriority.HIGH)
    return [await asyncio.create_task(work()), await job(), await asyncio.create_task(job()), await spawned]


def test_off_from_the_start_leaves_the_loop_and_the_process_alone(loop: Loop) -> None:
    before = traces(loop)
    manager = pulse.install(OFF, loop=loop)
    assert traces(loop) == before
    assert loop.run_until_complete(every_call()) == [""] * 4
    assert traces(loop) == before
    metrics = manager.get_metrics()
    assert (metrics.polls, metrics.tasks, metrics.groups, manager.report().loop_tiers[0].mode) == (0, 0, 0, "off")
    assert manager.report().loop_metrics[0].turns == 0


def test_tasks_made_while_it_is_off_are_plain(loop: Loop) -> None:
    pulse.install(OFF, loop=loop)

    async def main() -> None:
        coro = work()
        task = pulse.spawn(coro, name="one")
        assert (type(task), task.get_name(), task.get_coro()) == (asyncio.Task, "one", coro)
        await task

    loop.run_until_complete(main())


def test_it_may_be_switched_on_and_off_again(loop: Loop) -> None:
    before = traces(loop)
    manager = pulse.install(OFF, loop=loop)
    for _ in range(3):
        assert manager.set_mode("observe") == "observe"
        polls = manager.get_metrics().polls
        assert loop.run_until_complete(every_call()) == ["tenant 7"] * 4
        assert manager.get_metrics().polls > polls
        assert isinstance(loop.get_task_factory(), _core.TaskFactory)
        assert manager.set_mode("off") == "off"
        polls = manager.get_metrics().polls
        assert loop.run_until_complete(every_call()) == [""] * 4
        assert manager.get_metrics().polls == polls
        assert {**traces(loop), "watchdog": 0} == {**before, "watchdog": 0}


def test_the_heartbeat_of_a_loop_is_one_however_often_it_is_switched(loop: Loop) -> None:
    manager = pulse.install(loop=loop)
    for mode in ("off", "act") * 10:
        manager.set_mode(mode)

    async def beats() -> int:
        await asyncio.sleep(0.12)
        before = manager.report().loop_metrics[0].turns
        await asyncio.sleep(0.5)
        return manager.report().loop_metrics[0].turns - before

    turns = loop.run_until_complete(beats())
    # Twenty a second on uvloop; twenty-one heartbeats would be some two hundred.
    assert turns < 50


def test_switched_off_in_a_task_it_lets_everything_pass(loop: Loop) -> None:
    async def main() -> None:
        manager = pulse.get_manager()
        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        manager.set_mode("off")
        polls = manager.get_metrics().polls
        assert await every_call() == [""] * 4
        assert await task == ""
        assert manager.get_metrics().polls <= polls + 1  # the one that switched it off

    async def waits() -> str:
        await asyncio.sleep(0.01)
        return pulse.current().group

    pulse.install(loop=loop)
    loop.run_until_complete(main())


@pytest.mark.parametrize("way", ["off", "switched off", "not governed"])
def test_checkpoints_give_way_by_the_clock(way: str, loop: Loop) -> None:
    if way != "not governed":
        pulse.install(OFF if way == "off" else None, loop=loop)
    if way == "switched off":
        pulse.get_manager(loop=loop).set_mode("off")
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        loop.call_soon(turn)

    async def spend(ask: Any) -> tuple[int, float]:
        checkpoints, began = 0, time.perf_counter()
        before = turns
        while turns < before + GIVEN and time.perf_counter() < began + PATIENCE_S:
            await ask()
            checkpoints += 1
        assert turns == before + GIVEN
        return checkpoints, time.perf_counter() - began

    async def ask_first() -> None:
        if pulse.budget_spent():
            await asyncio.sleep(0)

    async def main() -> list[tuple[int, float]]:
        loop.call_soon(turn)
        return [await asyncio.create_task(spend(ask)) for ask in (pulse.checkpoint, ask_first)]

    for checkpoints, seconds in loop.run_until_complete(main()):
        # Not before its 2 ms have passed, except for the first, which may meet the clock of an earlier task.
        assert seconds >= (GIVEN - 1) * 0.002
        assert checkpoints > GIVEN * 3


def test_where_no_task_runs_a_checkpoint_never_yields() -> None:
    async def steps() -> str:
        end = time.perf_counter() + 0.01
        while time.perf_counter() < end:
            assert not pulse.budget_spent()
            await pulse.checkpoint()
        return "ran through"

    # As trio drives coroutines, which has no use for a bare yield.
    with pytest.raises(StopIteration, match="ran through"):
        steps().send(None)


def test_polls_that_somebody_else_drives_are_not_measured_and_not_refused() -> None:
    manager = pulse.TierManager(OFF)
    for way in ("off", "on", "off again"):
        manager.set_mode("act" if way == "on" else "off")
        before = manager.get_metrics()
        manager.before_poll(7, TaskContext(manager.worker_id, group="jobs"))
        manager.after_poll(7, PollResult.PENDING, 30_000_000)
        manager.on_yield(7)
        manager.before_poll(8, TaskContext(manager.worker_id))
        manager.on_completion(8)
        manager.after_poll(8, PollResult.PENDING, 1)
        manager.on_completion(7)
        after = manager.get_metrics()
        measured = (after.polls - before.polls, after.tasks - before.tasks, after.tasks_alive)
        assert measured == ((2, 2, 0) if way == "on" else (0, 0, 0))


def test_the_report_says_off(loop_factory: LoopFactory) -> None:
    async def main() -> list[str]:
        # Loops of other tests, closed by now, are in it too.
        own = pulse.get_manager().worker_id
        return [tiers.mode for tiers in process_report().loop_tiers if tiers.worker_id == own]

    assert pulse.run(main(), config=OFF, loop_factory=loop_factory) == ["off"]


# The environment.


@pytest.mark.parametrize("config", [None, pulse.TierConfig(mode="act"), "missing.toml"], ids=["none", "act", "missing"])
def test_the_kill_switch_is_above_code(config: Any, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    before = traces(loop)
    monkeypatch.setenv(MODE_VARIABLE, "OFF")
    pulse.install(config, loop=loop)
    assert traces(loop) == before
    assert loop.run_until_complete(every_call()) == [""] * 4


def test_with_the_kill_switch_nothing_needs_to_be_governed(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    before = traces(loop)
    monkeypatch.setenv(MODE_VARIABLE, "off")
    assert loop.run_until_complete(every_call()) == [""] * 4
    assert traces(loop) == before
    assert pulse.get_manager(loop=loop).is_off


def test_set_mode_says_when_the_environment_is_stronger(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(MODE_VARIABLE, "observe")
    manager = pulse.install(loop=loop)
    assert manager.set_mode("observe") == "observe"
    assert not caplog.records
    assert manager.set_mode("act") == manager.config.mode == "observe"
    [record] = caplog.records
    assert (record.name, record.levelname) == ("asyncio_pulse.manager", "WARNING")
    assert record.getMessage() == (
        f"asyncio-pulse pid {os.getpid()} worker {manager.worker_id}: set_mode('act') changes nothing, "
        f"because {MODE_VARIABLE} is 'observe' in the environment; the mode is observe"
    )
    with pytest.raises(pulse.ConfigError, match="mode must be one of off, observe, act, got 'on'"):
        manager.set_mode("on")  # type: ignore[arg-type]
    manager.update_config(pulse.TierConfig(mode="off", max_groups=9))
    assert (manager.config.mode, manager.config.max_groups) == ("observe", 9)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks_stay_eager(loop: Loop) -> None:
    if not isinstance(loop, asyncio.BaseEventLoop):
        pytest.skip("uvloop passes keywords that asyncio's eager factory does not know everywhere")
    loop.set_task_factory(asyncio.eager_task_factory)
    manager = pulse.install(OFF, loop=loop)

    async def at_once() -> None:
        seen.append("here")

    async def main() -> None:
        asyncio.create_task(at_once())
        assert seen.pop() == "here"

    seen: list[str] = []
    for mode in ("off", "act", "off"):
        manager.set_mode(mode)  # type: ignore[arg-type]
        loop.run_until_complete(main())
    assert loop.get_task_factory() is asyncio.eager_task_factory
    loop.set_task_factory(None)
