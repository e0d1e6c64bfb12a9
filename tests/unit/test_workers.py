"""WorkerTable: numbers are given out, kept, and given again."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import _core as core
from asyncio_pulse.metrics.model import WorkerMetrics
from asyncio_pulse.runtime.workers import WorkerTable
from tests.support.driving import Driven, configure, work


def some_polls(governor: core.Governor, polls: int) -> None:
    configure(governor)
    driven = Driven(governor, work())
    for number in range(polls - 1):
        driven.poll(True if number else None)
    driven.poll(False)


def test_numbers_begin_at_zero_and_the_lowest_free_one_is_given() -> None:
    table, in_use = WorkerTable(), {0: True, 1: True, 2: True}
    governors = [table.add(core.Governor, lambda number=number: in_use[number]) for number in range(3)]
    assert [governor.worker_id for governor in governors] == [0, 1, 2]
    in_use[1] = False
    assert table.add(core.Governor, lambda: True).worker_id == 1
    assert table.add(core.Governor, lambda: True).worker_id == 3


def test_a_number_keeps_its_statistics_until_it_is_given_again() -> None:
    table = WorkerTable()
    some_polls(table.add(core.Governor, lambda: False), polls=5)
    assert table.metrics(0).polls == 5
    table.reset(0)
    some_polls(table.add(core.Governor, lambda: False), polls=2)
    assert table.metrics(0).polls == 2
    assert list(table.all_metrics()) == [0]


def test_a_number_that_no_worker_has_is_all_zeros() -> None:
    table = WorkerTable()
    for number in (0, 5, -1):
        table.reset(number)
        assert table.metrics(number) == WorkerMetrics(number)
    assert table.all_metrics() == {}


def test_a_forked_child_counts_from_zero() -> None:
    table = WorkerTable()
    governor = table.add(core.Governor, lambda: True)
    some_polls(governor, polls=5)
    table.reset(0)
    governor.start_anew()
    table.after_fork_in_child()
    assert table.metrics(0).polls == 0
    some_polls(governor, polls=3)
    assert table.metrics(0).polls == 3


def test_nothing_but_numbers_is_kept_of_a_loop_that_is_no_longer_governed(
    any_loop: asyncio.AbstractEventLoop,
) -> None:
    def earlier(loop: asyncio.AbstractEventLoop, coro: Any, **keywords: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=loop, **keywords)

    any_loop.set_task_factory(earlier)
    pulse.install(loop=any_loop)
    any_loop.run_until_complete(asyncio.sleep(0))
    pulse.uninstall(loop=any_loop)
    any_loop.set_task_factory(None)
    reference = weakref.ref(earlier)
    del earlier
    gc.collect()
    assert reference() is None


def test_a_reset_while_the_worker_runs_loses_no_poll() -> None:
    table = WorkerTable()
    governor = table.add(core.Governor, lambda: True)
    configure(governor)
    driven = Driven(governor, work())
    assert driven.poll()
    polls = [1]
    enough = threading.Event()

    def run() -> None:
        while not enough.is_set():
            driven.poll(True)
            polls[0] += 1

    thread = threading.Thread(target=run)
    thread.start()
    seen = []
    for _ in range(500):
        table.reset(0)
        seen.append(table.metrics(0))
    enough.set()
    thread.join()
    assert governor.counters()["polls"] == polls[0]
    assert all(0 <= metrics.polls <= polls[0] and metrics.cpu_time_ns >= 0 for metrics in seen)
    table.reset(0)
    assert table.metrics(0) == WorkerMetrics(0, tasks_alive=1)
    driven.governed.close()


def test_a_manager_reaches_every_worker_of_the_process(any_loop: asyncio.AbstractEventLoop) -> None:
    manager = pulse.install(loop=any_loop)
    assert repr(manager) == f"<TierManager worker={manager.worker_id} attached>"
    any_loop.run_until_complete(asyncio.sleep(0))
    number = manager.worker_id
    assert manager.get_all_worker_metrics()[number] == manager.get_worker_metrics(number)
    assert manager.get_worker_metrics(number).polls == 2
    manager.reset_worker_stats(number)
    manager.reset_worker_stats(10**6)
    assert manager.get_worker_metrics(number) == WorkerMetrics(number)
    assert manager.get_worker_metrics(10**6) == WorkerMetrics(10**6)
    assert manager.get_metrics().polls == 2
    manager.update_config(pulse.TierConfig(max_groups=9))
    assert manager.config == pulse.TierConfig(max_groups=9)
    with pytest.raises(pulse.ConfigError):
        manager.update_config("absent.toml")
    assert manager.config == pulse.TierConfig(max_groups=9)
    pulse.uninstall(loop=any_loop)
    assert repr(manager) == f"<TierManager worker={number} detached>"
