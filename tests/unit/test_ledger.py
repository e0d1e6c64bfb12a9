"""The ledger: what a report holds of loops that are there and of loops that are gone."""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import sys
import time
from collections.abc import Iterator

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import _core as core
from asyncio_pulse.metrics import Report
from asyncio_pulse.runtime import ledger
from asyncio_pulse.runtime.manager import TierManager
from tests.support.loops import LoopFactory


@pytest.fixture(autouse=True)
def _empty_ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ledger, "_ledger", ledger._Ledger())
    yield
    assert ledger._ledger.open == []


async def work(polls: int) -> None:
    for _ in range(polls - 1):
        await asyncio.sleep(0)


def run_governed(loop: asyncio.AbstractEventLoop, polls: int, config: pulse.TierConfig | None = None) -> None:
    pulse.install(config, loop=loop)
    loop.run_until_complete(work(polls))


def test_without_a_loop_there_is_nothing_to_tell() -> None:
    report = ledger.process_report()
    assert (report.loops, report.groups, report.worst_polls, report.workers) == (0, (), (), {})
    assert report.metrics == type(report.metrics)()


def test_the_report_says_whose_it_is() -> None:
    report = ledger.process_report()
    assert (report.pid, report.python) == (os.getpid(), platform.python_version())
    assert report.argv == tuple(sys.orig_argv)
    assert report.clock == core.clock_info()["name"]


def test_a_loop_without_a_task_is_no_loop(any_loop: asyncio.AbstractEventLoop) -> None:
    pulse.install(loop=any_loop)
    assert ledger.process_report().loops == 0
    pulse.uninstall(loop=any_loop)


def test_a_loop_that_is_there_is_always_told_of(any_loop: asyncio.AbstractEventLoop) -> None:
    run_governed(any_loop, 5)
    report = ledger.process_report()
    assert (report.loops, report.metrics.polls, report.metrics.tasks) == (1, 5, 1)
    pulse.uninstall(loop=any_loop)
    assert ledger.process_report().loops == 1


def test_loops_that_are_gone_are_added_up(loop_factory: LoopFactory) -> None:
    longest = []
    for polls in (3, 4, 5):
        loop = loop_factory()
        run_governed(loop, polls)
        longest.append(pulse.get_manager(loop=loop).groups()[0].max_ns)
        pulse.uninstall(loop=loop)
        loop.close()
    report = ledger.process_report()
    assert (report.loops, report.metrics.polls, report.metrics.tasks, report.metrics.groups) == (3, 12, 3, 1)
    [group] = report.groups
    assert (group.name, group.polls, group.histogram.count, group.tasks) == ("work", 12, 12, 3)
    assert group.max_ns == max(longest)
    assert {number: worker.polls for number, worker in report.workers.items()} == {0: 12}


def test_a_loop_that_is_collected_while_a_report_is_made_counts_once(
    loop_factory: LoopFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def govern_and_forget() -> None:
        loop = loop_factory()
        run_governed(loop, 5)
        loop.close()
        cycle: list[object] = [loop]
        cycle.append(cycle)

    read, governed = TierManager._report, []

    def read_and_collect(manager: TierManager) -> Report:
        governed.append(len(ledger._ledger.open))
        report = read(manager)
        gc.collect()
        return report

    gc.collect()
    gc.disable()
    try:
        govern_and_forget()
        monkeypatch.setattr(TierManager, "_report", read_and_collect)
        report = ledger.process_report()
    finally:
        gc.enable()
    assert governed[0] == 1
    assert ledger._ledger.open == []
    assert (report.loops, report.metrics.polls, [group.polls for group in report.groups]) == (1, 5, [5])


def test_the_same_place_in_two_loops_is_one(loop_factory: LoopFactory) -> None:
    async def burn() -> None:
        # Far more than the error of a poll's CPU time, 200 us.
        end = time.thread_time() + 0.002
        while time.thread_time() < end:
            pass

    config = pulse.TierConfig(poll_budget_us=50, operation_budget=1_000_000)
    for _ in range(2):
        loop = loop_factory()
        manager = pulse.install(config, loop=loop)
        loop.run_until_complete(burn())
        [poll] = manager.report().worst_polls
        assert poll.count == 1
        pulse.uninstall(loop=loop)
        loop.close()
    [poll] = ledger.process_report().worst_polls
    assert poll.function.endswith("burn")
    assert (poll.count, poll.filename, poll.group) == (2, __file__, poll.function)
    assert poll.wall_ns < poll.total_wall_ns <= 2 * poll.wall_ns + 2
