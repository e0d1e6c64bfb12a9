"""Values of groups are unpacked when they are read, and are the same values as those that are made at once."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import pickle
import time

import pytest

import asyncio_pulse as pulse
from asyncio_pulse.lowlevel import PollResult, TaskContext, process_report
from asyncio_pulse.metrics.model import GroupMetrics, Histogram

MANY = 1_000


def with_groups(count: int) -> pulse.TierManager:
    manager = pulse.TierManager()
    for number in range(count):
        for ms in range(1 + number % 7):
            manager.before_poll(number, TaskContext(manager.worker_id, group=f"route {number}"))
            manager.after_poll(number, PollResult.PENDING, 1_000 + ms * 100_000)
    return manager


def eager(group: GroupMetrics) -> GroupMetrics:
    fields = {field.name: getattr(group, field.name) for field in dataclasses.fields(group)}
    return GroupMetrics(**fields | {"histogram": Histogram(group.histogram.buckets)})


def test_a_lazy_value_is_like_one_made_at_once() -> None:
    manager = with_groups(3)
    for lazy, again in zip(manager.groups(), manager.groups(), strict=True):
        whole = eager(lazy)
        assert type(lazy) is type(whole) is GroupMetrics
        assert (again, hash(again)) == (whole, hash(whole))
        assert repr(manager.groups()[0]).startswith(
            "GroupMetrics(name='route 2', explicit=True, tasks=1, tasks_alive=1"
        )
    for make in (copy.copy, copy.deepcopy, dataclasses.replace, lambda group: pickle.loads(pickle.dumps(group))):
        assert [make(group) for group in manager.groups()] == [eager(group) for group in manager.groups()]
    assert dataclasses.asdict(manager.groups()[0])["polls"] == 3
    assert manager.groups()[0].histogram.count == 3


@pytest.mark.parametrize("name", ["missing", "_source_of", "__wrapped__"])
def test_what_is_no_field_is_missing(name: str) -> None:
    lazy = with_groups(1).groups()[0]
    for value in (lazy, eager(lazy), GroupMetrics("jobs"), Histogram()):
        with pytest.raises(AttributeError, match=f"'{type(value).__name__}' object has no attribute '{name}'"):
            getattr(value, name)


def test_a_lazy_value_shows_the_moment_in_which_it_was_taken() -> None:
    manager = with_groups(1)
    [group] = manager.groups()
    manager.before_poll(0, TaskContext(manager.worker_id))
    manager.after_poll(0, PollResult.READY, 50_000_000)
    assert (group.polls, group.tasks_alive, group.max_ns < 50_000_000) == (1, 1, True)
    [later] = manager.groups()
    assert (later.polls, later.tasks_alive, later.max_ns > 40_000_000) == (2, 0, True)


def test_lazy_values_do_not_change() -> None:
    [group] = with_groups(1).groups()
    with pytest.raises(dataclasses.FrozenInstanceError):
        group.polls = 3  # type: ignore[misc]


def test_groups_come_most_wall_time_first() -> None:
    times = [group.wall_time_ns for group in with_groups(20).groups()]
    assert times == sorted(times, reverse=True)


@pytest.mark.timing
def test_taking_a_thousand_groups_costs_a_fraction_of_unpacking_them() -> None:
    manager = with_groups(MANY)

    def least(call: object) -> float:
        costs = []
        for _ in range(15):
            begin = time.thread_time()
            call()  # type: ignore[operator]
            costs.append(time.thread_time() - begin)
        return min(costs)

    taking = least(manager.groups)
    unpacking = least(lambda: [eager(group) for group in manager.groups()])
    assert taking * 4 < unpacking


def test_a_report_is_taken_without_unpacking_its_groups() -> None:
    async def main() -> None:
        for number in range(10):
            await pulse.spawn(asyncio.sleep(0), group=f"route {number}")
        for report in (process_report(), pulse.get_manager().report()):
            assert not any(map(is_unpacked, report.groups))
            assert {group.name for group in report.groups} >= {f"route {number}" for number in range(10)}
            assert report.metrics.groups == len(report.groups)
            assert list(report.groups) == sorted(report.groups, key=lambda group: -group.wall_time_ns)

    def is_unpacked(group: GroupMetrics) -> bool:
        try:
            object.__getattribute__(group, "polls")
        except AttributeError:
            return False
        return True

    pulse.run(main())
