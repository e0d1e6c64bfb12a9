"""Governor, Group and TaskFactory: numbers in, numbers out, and what they refuse."""

from __future__ import annotations

import contextvars
from typing import Any

import pytest

from asyncio_pulse import _core as core
from tests.support.driving import Driven, configure, snapshots, work

NUMBERS: dict[str, Any] = {
    "poll_budget_us": (8000, 4000, 2000, 1000),
    "operation_budget": (512, 256, 128, 64),
    "slow_poll_threshold_us": 10_000,
    "cpu_sample_interval_us": 200,
    "stall_threshold_us": 1_000_000,
    "latency_target_us": 20_000,
    "max_groups": 16,
}


@pytest.fixture
def governor() -> core.Governor:
    governor = core.Governor(7)
    configure(governor)
    return governor


def test_a_new_governor_has_counted_nothing() -> None:
    governor = core.Governor(3)
    assert governor.worker_id == 3
    assert governor.attached
    assert snapshots(governor) == governor.worst_polls() == []
    counters = governor.counters()
    assert counters.pop("uptime_ns") > 0
    assert counters.pop("internal_errors") >= 0
    assert set(counters.values()) == {0}


def test_a_governor_without_numbers_judges_nobody() -> None:
    driven = Driven(core.Governor(0), work())
    assert driven.poll()
    assert driven.governed.operations_left == 2**32 - 1
    driven.governed.close()


def test_numbers_are_what_a_priority_gets(governor: core.Governor) -> None:
    governor.configure(**NUMBERS)
    for priority in range(4):
        driven = Driven(governor, work(), core.Options(priority=priority))
        assert driven.poll()
        assert driven.governed.budget == (NUMBERS["poll_budget_us"][priority], NUMBERS["operation_budget"][priority])
        driven.governed.close()


def test_new_numbers_hold_for_tasks_that_run(governor: core.Governor) -> None:
    driven = Driven(governor, work())
    driven.poll()
    governor.configure(**NUMBERS)
    assert driven.governed.budget == (2000, 128)
    assert driven.governed.operations_left == 128
    configure(governor, operations=5)
    driven.poll(True)
    assert driven.governed.operations_left == 5
    driven.governed.close()


def test_numbers_too_large_for_the_clock_are_never_reached(governor: core.Governor) -> None:
    configure(governor, budget_us=2**64 - 1, slow_poll_threshold_us=2**64 - 1)
    driven = Driven(governor, work())
    assert driven.poll()
    assert not driven.poll(False)
    assert governor.counters()["violations"] == 0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"max_groups": 0}, ValueError, "max_groups must be at least 1, got 0"),
        ({"max_groups": "many"}, TypeError, "integer"),
        ({"poll_budget_us": (1, 2, 3)}, TypeError, "4"),
        ({"poll_budget_us": 5}, TypeError, "4"),
        ({"operation_budget": (1, 2, 3, "4")}, TypeError, "integer|int"),
        ({"slow_poll_threshold_us": None}, TypeError, "integer|int"),
        ({"cpu_sample_interval_us": 1.5}, TypeError, "integer|int"),
    ],
    ids=str,
)
def test_bad_numbers_change_nothing(
    governor: core.Governor, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    driven = Driven(governor, work())
    driven.poll()
    before = driven.governed.budget
    with pytest.raises(error, match=message):
        governor.configure(**(NUMBERS | change))
    assert driven.governed.budget == before
    driven.governed.close()


@pytest.mark.parametrize("arguments", [(), ("one",), (1, 2), (2**40,)])
def test_a_governor_needs_a_number(arguments: tuple[Any, ...]) -> None:
    with pytest.raises((TypeError, OverflowError)):
        core.Governor(*arguments)


def test_steps_and_bare_yields_are_counted_exactly(governor: core.Governor) -> None:
    driven = Driven(governor, work())
    for number in range(10):
        driven.poll(True if number else None)
    assert not driven.poll(False)
    counters = governor.counters()
    assert (counters["polls"], counters["voluntary_yields"]) == (11, 10)
    assert (counters["tasks"], counters["tasks_alive"]) == (1, 0)
    assert counters["wall_time_ns"] >= counters["cpu_time_ns"] > 0
    assert counters["cpu_samples"] >= 1


def test_a_group_tells_what_its_tasks_did(governor: core.Governor) -> None:
    first, second = Driven(governor, work()), Driven(governor, work(), core.Options(group="chosen"))
    assert first.governed.group is None
    first.poll()
    second.poll()
    first.poll(False)
    assert first.governed.group is not None
    assert (first.governed.group.name, first.governed.group.explicit) == ("work", False)
    assert (second.governed.group.name, second.governed.group.explicit) == ("chosen", True)
    groups = {group["name"]: group for group in snapshots(governor)}
    assert set(groups) == {"work", "chosen"}
    snapshot = groups["work"]
    assert (snapshot["tasks"], snapshot["tasks_alive"], snapshot["polls"]) == (1, 0, 2)
    assert sum(count for _, count in snapshot["histogram"]) == 2
    assert snapshot["max_ns"] <= snapshot["histogram"][-1][0]
    second.governed.close()


def test_groups_of_one_name_but_different_origin_are_two(governor: core.Governor) -> None:
    one, other = Driven(governor, work()), Driven(governor, work(), core.Options(group="work"))
    one.poll()
    other.poll()
    assert {(group["name"], group["explicit"]) for group in snapshots(governor)} == {("work", True), ("work", False)}
    one.governed.close()
    other.governed.close()


def test_the_least_recently_used_idle_groups_are_folded(governor: core.Governor) -> None:
    configure(governor, max_groups=8)
    kept = Driven(governor, work(), core.Options(group="kept"))
    kept.poll()
    for number in range(20):
        driven = Driven(governor, work(), core.Options(group=f"group {number}"))
        driven.poll()
        driven.poll(False)
    groups = {group["name"]: group for group in snapshots(governor)}
    assert governor.counters()["groups"] <= 8
    assert {"kept", "group 19", "group 18", "(other)"} <= set(groups)
    assert "group 0" not in groups
    assert sum(group["polls"] for group in groups.values()) == 41
    assert sum(group["tasks"] for group in groups.values()) == 21
    assert groups["(other)"]["max_ns"] > 0
    kept.governed.close()


def test_a_lower_bound_holds_from_the_next_new_name(governor: core.Governor) -> None:
    for number in range(100):
        driven = Driven(governor, work(), core.Options(group=f"group {number}"))
        driven.poll()
        driven.poll(False)
    configure(governor, max_groups=10)
    last = Driven(governor, work(), core.Options(group="last"))
    last.poll()
    assert governor.counters()["groups"] <= 10
    assert last.governed.group is not None
    assert last.governed.group.name == "last"
    last.governed.close()


def test_a_table_full_of_groups_in_use_counts_the_rest_together(governor: core.Governor) -> None:
    configure(governor, max_groups=2)
    tasks = [Driven(governor, work(), core.Options(group=f"group {number}")) for number in range(5)]
    for driven in tasks:
        driven.poll()
    assert [driven.governed.group.name for driven in tasks if driven.governed.group] == [
        "group 0",
        "group 1",
        "(other)",
        "(other)",
        "(other)",
    ]
    totals = core.GroupTotals(100)
    totals.add(governor, True)
    assert {group["name"]: group["tasks_alive"] for group in snapshots(totals)} == {
        "group 0": 1,
        "group 1": 1,
        "(other)": 3,
    }
    for driven in tasks:
        driven.governed.close()


def test_starting_anew_counts_from_zero_and_keeps_the_living(governor: core.Governor) -> None:
    driven = Driven(governor, work())
    driven.poll()
    configure(governor, budget_us=0)
    driven.poll(True)
    assert governor.worst_polls()
    governor.start_anew()
    assert (governor.counters()["polls"], governor.counters()["tasks"]) == (0, 0)
    assert governor.counters()["tasks_alive"] == 1
    assert governor.worst_polls() == []
    driven.poll(True)
    [group] = snapshots(governor)
    assert (group["polls"], group["tasks"], group["tasks_alive"]) == (1, 0, 1)
    driven.governed.close()


def test_a_detached_governor_measures_nothing_more(governor: core.Governor) -> None:
    running, fresh = Driven(governor, work()), Driven(governor, work())
    running.poll()
    governor.detach()
    assert not governor.attached
    running.poll(True)
    fresh.poll()
    assert not fresh.poll(False)
    with pytest.raises(KeyError):
        running.governed.throw(KeyError("through"))
    assert governor.counters()["polls"] == 1
    coro = work()
    assert governor.task_factory(lambda loop, made: made)(None, coro) is coro
    coro.close()


def test_a_factory_knows_its_governor_and_whom_it_chains_to(governor: core.Governor) -> None:
    def earlier(loop: object, coro: object) -> object:
        return coro

    assert governor.task_factory(earlier).earlier is earlier
    assert governor.task_factory(None).earlier is None
    assert governor.task_factory(None).governor is governor
    with pytest.raises(TypeError, match="the earlier task factory must be callable or None, got 5"):
        governor.task_factory(5)  # type: ignore[arg-type]


def test_a_factory_takes_a_loop_a_coroutine_and_keywords(governor: core.Governor) -> None:
    factory = governor.task_factory(lambda *args, **kwargs: (args, kwargs))
    for arguments in ((), (None,), (None, None, None)):
        with pytest.raises(TypeError, match=f"a task factory takes .* got {len(arguments)} arguments"):
            factory(*arguments)
    with pytest.raises(TypeError, match="a task factory takes"):
        factory(None, None, **{f"keyword{number}": number for number in range(17)})
    args, kwargs = factory("loop", "no coroutine", name="n", context=None, anything=4)
    assert args == ("loop", "no coroutine")
    assert kwargs == {"name": "n", "context": None, "anything": 4}


def test_an_object_that_cannot_say_what_it_is_passes_through(governor: core.Governor) -> None:
    class Strange:
        @property
        def __class__(self) -> type:  # type: ignore[override]
            raise LookupError("nobody knows")

    strange = Strange()
    assert governor.task_factory(lambda loop, made: made)(None, strange) is strange


@pytest.mark.parametrize("made", [core.Group, core.TaskFactory, core.Checkpoint])
def test_what_the_core_makes_cannot_be_made_by_hand(made: type) -> None:
    with pytest.raises(TypeError, match="cannot create"):
        made()


def test_a_group_is_inherited_through_the_context_alone(governor: core.Governor) -> None:
    parent = Driven(governor, work(), core.Options(group="family"))
    parent.poll()
    child, stranger = Driven(governor, work()), Driven(governor, work())
    child.context = parent.context.copy()
    child.poll()
    stranger.poll()
    assert child.governed.group is not None
    assert stranger.governed.group is not None
    assert (child.governed.group.name, stranger.governed.group.name) == ("family", "work")
    assert not [name for name in contextvars.copy_context() if name.name == "asyncio_pulse.group"]
    for driven in (parent, child, stranger):
        driven.governed.close()
