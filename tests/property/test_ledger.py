"""The process report adds up, in whatever order loops come and go."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from asyncio_pulse import TierManager
from asyncio_pulse.runtime import ledger
from tests.support.driving import Driven, work

# For each loop a name and a number of polls for each of its tasks.
tasks = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 5)), max_size=5)
loops = st.lists(tasks, max_size=5)


@contextlib.contextmanager
def empty_ledger() -> Iterator[None]:
    kept = ledger._ledger
    ledger._ledger = ledger._Ledger()
    try:
        yield
    finally:
        ledger._ledger = kept


def run_loop(tasks: list[tuple[str, int]]) -> TierManager:
    manager = TierManager()
    ledger.enter(manager)
    for name, polls in tasks:
        coro = work()
        coro.__qualname__ = name
        driven = Driven(manager.governor, coro)
        for number in range(polls):
            assert driven.poll(True if number else None)
        driven.governed.close()
    return manager


@given(loops=loops, stay=st.integers(0, 5), seed=st.integers(0, 9))
def test_nothing_is_lost_or_counted_twice(loops: list[list[tuple[str, int]]], stay: int, seed: int) -> None:
    with empty_ledger():
        managers = [run_loop(tasks) for tasks in loops]
        before = ledger.process_report()
        leaving = managers[stay:]
        random.Random(seed).shuffle(leaving)
        for manager in leaving:
            ledger.leave(manager)
        after = ledger.process_report()
    per_name = {name: sum(polls for tasks in loops for each, polls in tasks if each == name) for name in "abc"}
    for report in (before, after):
        assert report.loops == sum(bool(tasks) for tasks in loops)
        assert report.metrics.polls == sum(per_name.values())
        assert report.metrics.tasks == sum(map(len, loops))
        assert {group.name: group.polls for group in report.groups} == {
            name: polls for name, polls in per_name.items() if polls
        }
        assert all(group.histogram.count == group.polls for group in report.groups)
        assert report.metrics.groups == len(report.groups)
        assert sum(worker.polls for worker in report.workers.values()) == report.metrics.polls
    assert before.groups == after.groups
