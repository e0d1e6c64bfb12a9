"""Coroutines that compute are left in the middle of their code, others run, and they go on from there."""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import platform
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import _core
from asyncio_pulse.runtime import preemption
from tests.support.loops import LoopFactory
from tests.support.preempting import (
    WITHIN_S,
    compute_until,
    hogs,
    preemptions,
    put_at_yield,
    refused,
    run_preempting,
    until_preempted,
)


async def count_up() -> None:
    for _ in range(3_000_000):
        pass


def test_a_coroutine_that_never_awaits_lets_others_run(loop_factory: LoopFactory) -> None:
    async def main() -> tuple[int, int]:
        done = asyncio.Event()
        task = pulse.spawn(compute_until(done), preemptible=True)
        await until_preempted(20)
        coro: Any = task.get_coro()
        assert (coro.cr_running, coro.cr_suspended) == (False, True)
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["compute_until"]
        done.set()
        return await task, pulse.get_manager().get_metrics().forced_yields

    rounds, forced = run_preempting(main(), loop_factory)
    assert rounds > 0
    assert forced > 0


@pytest.mark.timing
def test_many_take_turns(loop_factory: LoopFactory) -> None:
    async def main() -> list[int]:
        with hogs(5) as tasks:
            await until_preempted(300)
        return await asyncio.gather(*tasks)

    rounds = run_preempting(main(), loop_factory)
    assert min(rounds) > max(rounds) / 10


def test_nobody_is_preempted_who_did_not_opt_in() -> None:
    async def main() -> int:
        async def compute() -> int:
            return sum(1 for _ in range(1_000_000))

        await asyncio.gather(*(asyncio.create_task(compute()) for _ in range(3)))
        await pulse.spawn(compute(), preemptible=False)
        return preemptions()

    assert run_preempting(main(), max_tier="warn") == 0


@pytest.mark.parametrize("preempt", ["off", "await"])
def test_who_opted_in_is_nearer_than_the_configuration(preempt: str) -> None:
    async def main() -> int:
        await pulse.spawn(count_up(), preemptible=True)
        return preemptions()

    assert run_preempting(main(), preempt=preempt) > 0


@pytest.mark.timing  # whether it is asked in time is a matter of the machine
@pytest.mark.parametrize(
    ("settings", "is_preempted", "is_started"),
    [({"preempt": "off"}, False, False), ({}, False, True), ({"preempt": "await"}, True, True)],
)
def test_by_default_an_offender_is_not_left_where_it_awaits_its_own_coroutines(
    settings: dict[str, Any], is_preempted: bool, is_started: bool
) -> None:
    async def count_a_little() -> None:
        for _ in range(500):
            pass

    async def over_ready_awaits() -> None:
        for _ in range(10_000):
            await count_a_little()

    # A loop of an earlier test that failed may not be collected yet.
    was_active = bool(_core.preemption_facts()["active"])

    async def main() -> None:
        task = asyncio.create_task(over_ready_awaits())
        put_at_yield(task)
        await task
        assert (preemptions() > 0) == is_preempted
        assert bool(_core.preemption_facts()["active"]) == (is_started or was_active)

    pulse.run(main(), config=pulse.TierConfig(poll_budget_us=500, **settings))


@pytest.mark.timing  # whether it is asked in time is a matter of the machine
@pytest.mark.parametrize("group", [None, "reports"])
def test_a_pattern_for_all_is_stronger_than_who_opted_in(group: str | None) -> None:
    async def main() -> int:
        await pulse.spawn(count_up(), preemptible=True, group=group)
        return preemptions()

    off, on = pulse.GroupPolicy(preempt="off"), pulse.GroupPolicy()
    assert run_preempting(main(), groups={"*": off}) == 0
    assert (run_preempting(main(), groups={"rep*": on, "*": off}) > 0) == (group is not None)
    assert (run_preempting(main(), groups={"rep*": off}) == 0) == (group is not None)


def test_an_observing_manager_only_counts() -> None:
    async def main() -> tuple[int, int]:
        async def compute() -> None:
            for _ in range(5_000_000):
                pass

        await pulse.spawn(compute(), preemptible=True)
        record = pulse.get_manager().governor.preemption_record()
        return record["preemptions"], record["would_preempt"]

    assert run_preempting(main(), mode="observe") == (0, 1)


@pulse.governed(preemptible=True)
async def decorated(done: asyncio.Event) -> int:
    return await compute_until(done)


@pytest.mark.parametrize("awaited", [False, True], ids=["as a task", "awaited"])
def test_a_decorated_function_is_preempted(loop_factory: LoopFactory, awaited: bool) -> None:
    async def main() -> int:
        done = asyncio.Event()

        async def framework() -> int:
            await asyncio.sleep(0)
            return await decorated(done)

        task = asyncio.create_task(framework() if awaited else decorated(done))
        await until_preempted(20)
        done.set()
        return await task

    assert run_preempting(main(), loop_factory) > 0


def test_a_group_opts_in_by_its_policy() -> None:
    async def main() -> int:
        done = asyncio.Event()
        task = pulse.spawn(compute_until(done), group="reports")
        await until_preempted(20)
        done.set()
        return await task

    assert run_preempting(main(), groups={"reports": pulse.GroupPolicy(preempt="anywhere")}) > 0


def test_the_policy_of_the_group_covers_the_first_poll_of_a_decorated_task(loop_factory: LoopFactory) -> None:
    @pulse.governed(group="reports")
    async def report(done: asyncio.Event) -> None:
        end = time.monotonic() + 5
        while not done.is_set() and time.monotonic() < end:
            pass

    async def main() -> None:
        done = asyncio.Event()
        task = asyncio.create_task(report(done))
        await until_preempted(10, within_s=4)
        done.set()
        await task
        [group] = [group for group in pulse.get_manager().groups() if group.name == "reports"]
        # On a busy machine a slice may end late, and counts as a violation then.
        assert group.forced_yields >= 3

    run_preempting(main(), loop_factory, groups={"reports": pulse.GroupPolicy(preempt="anywhere")})


def test_a_group_that_opts_in_later_does_so_for_its_running_tasks() -> None:
    async def main() -> int:
        async def computing(done: asyncio.Event) -> None:
            while not done.is_set():
                for _ in range(100_000):
                    pass
                await asyncio.sleep(0)

        done = asyncio.Event()
        task = pulse.spawn(computing(done), group="reports")
        await asyncio.sleep(0.02)
        assert preemptions() == 0
        manager = pulse.get_manager()
        opted_in = {"reports": pulse.GroupPolicy(preempt="anywhere")}
        manager.update_config(dataclasses.replace(manager.config, groups=opted_in))
        await until_preempted(5)
        done.set()
        await task
        return preemptions()

    assert run_preempting(main()) >= 5


def test_a_governed_call_that_is_left_in_the_middle_is_still_counted(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        @pulse.governed(priority=pulse.TaskPriority.HIGH)
        async def inner(done: asyncio.Event) -> int:
            view, wrong = pulse.current(), 0
            while not done.is_set():
                wrong += pulse.current()._governed is not view._governed
            views.append(view)
            return wrong

        async def outer(done: asyncio.Event) -> int:
            view = pulse.current()
            await asyncio.sleep(0)
            wrong = await inner(done)
            views.append(view)
            return wrong + (pulse.current()._governed is not view._governed)

        views: list[pulse.TaskView] = []
        done = asyncio.Event()
        task = pulse.spawn(outer(done), preemptible=True)
        await until_preempted(20)
        done.set()
        assert await task == 0
        call, view = (each.metrics for each in views)
        # Each time, the call is left, and with it the task around it.
        for metrics in (call, view):
            assert metrics.polls >= 20
            # One that was left late is a violation.
            assert metrics.forced_yields >= 10
        assert 0 < view.wall_time_ns < call.wall_time_ns

    run_preempting(main(), loop_factory)


def test_what_was_preempted_when_the_loop_is_no_longer_governed_runs_to_its_end(loop_factory: LoopFactory) -> None:
    async def main() -> int:
        pulse.install(pulse.TierConfig(poll_budget_us=500))
        done = asyncio.Event()
        task = pulse.spawn(compute_until(done), preemptible=True)
        await until_preempted(5)
        pulse.uninstall()
        done.set()
        return await task

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(main()) > 0


def test_a_loop_off_the_main_thread_is_not_preempted_and_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each reason is logged once a process.
    monkeypatch.setattr(preemption, "_said", set())
    # As asking is Python code, a thread asks once, and not before each poll.
    asked: list[int] = []
    refusals = preemption.refusals
    monkeypatch.setattr(preemption, "refusals", lambda: asked.append(threading.get_ident()) or refusals())

    async def main() -> int:
        async def compute() -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            for _ in range(500_000):
                pass

        await pulse.spawn(compute(), preemptible=True)
        return preemptions()

    async def beside() -> int:
        return await asyncio.to_thread(lambda: run_preempting(main()))

    assert asyncio.run(beside()) == 0
    assert "off the main thread" in caplog.text
    # Once because it is the default, once because the task opted in.
    assert len(asked) == 2


def test_refusals_are_counted_by_rule_and_place() -> None:
    async def main() -> None:
        async def compute() -> int:
            return max(range(3_000), key=lambda number: sum([number for _ in range(300)]))

        await pulse.spawn(compute(), preemptible=True)
        assert refused("c_code") > 100
        places = pulse.get_manager().governor.preemption_record()["places"]
        assert any(rule == "c_code" and "compute" in function for rule, function, _, _ in places)

    run_preempting(main())


async def _compare_floats(end: float) -> None:
    while time.perf_counter() < end:
        pass


async def _compare_integers(end: float) -> None:
    milliseconds = int(end * 1e3)
    while int(time.perf_counter() * 1e3) < milliseconds:
        pass


async def _compare_strings(end: float) -> None:
    while str(time.perf_counter() < end) == "True":
        pass


@pytest.mark.parametrize("compare", [_compare_floats, _compare_integers, _compare_strings])
def test_a_loop_that_compares_is_left_however_often_it_ran(loop_factory: LoopFactory, compare: Any) -> None:
    """After eight times the comparison and the jump back are one instruction of CPython 3.11."""

    async def main() -> int:
        for _ in range(20):
            await compare(time.perf_counter() + 0.001)
        before, limit = preemptions(), time.perf_counter() + WITHIN_S
        while preemptions() - before <= 20 and time.perf_counter() < limit:
            end = time.perf_counter() + 0.1
            await asyncio.gather(*(pulse.spawn(compare(end), preemptible=True) for _ in range(2)))
        return preemptions() - before

    assert run_preempting(main(), loop_factory) > 20


SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}


def scheduling_of(thread: int) -> tuple[int, int]:
    """Nice value and slice, ns, of a thread, from Linux; 0 ns before 6.12."""
    attributes = ctypes.create_string_buffer(48)
    number = SCHED_GETATTR[platform.machine()]
    if ctypes.CDLL(None, use_errno=True).syscall(number, thread, attributes, len(attributes), 0) < 0:
        raise OSError(ctypes.get_errno(), "sched_getattr")
    _, _, _, nice, _, runtime, _, _ = struct.unpack("IIQiIQQQ", attributes.raw)
    return nice, runtime


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() not in SCHED_GETATTR, reason="asks Linux")
def test_the_watchdog_wakes_beside_who_computes() -> None:
    """It asks for the shortest slices, and changes nothing else."""

    async def main() -> list[tuple[int, int]]:
        with hogs(1) as tasks:
            await until_preempted(1)
            threads = [
                scheduling_of(int(thread.name))
                for thread in Path("/proc/self/task").iterdir()
                if (thread / "comm").read_text() == "pulse-preempt\n"
            ]
        await asyncio.gather(*tasks)
        return threads

    own_nice, own_slice = scheduling_of(threading.get_native_id())
    if not own_slice:
        pytest.skip("this Linux does not tell slices")
    assert run_preempting(main()) == [(own_nice, 100_000)]
    assert own_slice > 100_000
