"""The reports of many processes come to few sections, and nothing that they counted is lost."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from asyncio_pulse.metrics.model import (
    GroupMetrics,
    Histogram,
    LoopTiers,
    Metrics,
    Report,
    WorkerMetrics,
    WorstPoll,
)
from asyncio_pulse.reports.text import format_reports
from asyncio_pulse.runtime.processes import MOST_GROUPS, MOST_PIDS, MOST_SECTIONS, OTHER_COMMANDS, merge_processes

counts = st.integers(0, 10**6)


def report(pid: int, *argv: str, polls: int = 1, group: str = "work", faults: int = 0) -> Report:
    return Report(
        pid=pid,
        argv=argv,
        python="3.13.0",
        clock="tsc",
        loops=1,
        metrics=Metrics(polls=polls, wall_time_ns=polls, internal_errors=faults),
        workers={0: WorkerMetrics(0, polls=polls)},
        groups=(GroupMetrics(group, polls=polls, wall_time_ns=polls, histogram=Histogram(((8, polls),))),),
        worst_polls=(WorstPoll(group, "Task-1", "f", "app.py", 3, polls, polls, 0, 1, polls),),
    )


def test_processes_of_one_command_line_are_one_section() -> None:
    one, two, three = merge_processes(
        [report(1, "a", polls=3, faults=1), report(2, "b"), report(3, "a", polls=4, faults=2), report(4, "c")]
    )
    assert [each.argv for each in (one, two, three)] == [("a",), ("b",), ("c",)]
    assert (one.pid, one.processes, one.pids, one.loops) == (1, 2, (1, 3), 2)
    assert (two.pid, two.processes, two.pids) == (2, 1, ())
    # Faults are counted for a whole process, in each of its loops; those of two processes are different ones.
    assert (one.metrics.polls, one.metrics.internal_errors, one.workers[0].polls) == (7, 3, 7)
    [group], [poll] = one.groups, one.worst_polls
    assert (group.polls, group.histogram.buckets, poll.wall_ns, poll.count) == (7, ((8, 7),), 4, 2)
    assert "\n2 processes (1, 3): a\n" in format_reports([one], 1)
    assert format_reports([one, two, three], 1).startswith("asyncio-pulse: 4 processes, 4 event loops\n")


def test_every_process_says_how_its_loops_stand() -> None:
    tiers = [LoopTiers(0, "act", True, 2, open_breakers=2), LoopTiers(0, "observe", False, 1, open_breakers=1)]
    parts = [dataclasses.replace(report(pid, "a"), loop_tiers=(loop,)) for pid, loop in enumerate(tiers)]
    for order in (parts, parts[::-1]):
        [merged] = merge_processes(order)
        [loop] = merged.loop_tiers
        assert (loop.promotion_frozen, loop.freezes, loop.open_breakers) == (True, 3, 3)


def test_children_of_multiprocessing_are_of_one_command_line() -> None:
    commands = [f"from multiprocessing.spawn import spawn_main; spawn_main(pipe_handle={number})" for number in (7, 9)]
    assert len(merge_processes(report(1, "python", "-c", command) for command in commands)) == 1
    assert len(merge_processes(report(1, "python", "-c", f"print({number})") for number in (7, 9))) == 2


@given(st.lists(st.tuples(st.integers(0, 60), counts, st.sampled_from("xyz")), max_size=120), st.integers(1, 40))
def test_putting_together_as_they_come_is_the_same_and_bounded(
    processes: list[tuple[int, int, str]], at_once: int
) -> None:
    merged: list[Report] = []
    for pid, (command, polls, group) in enumerate(processes):
        merged.append(report(pid, str(command), polls=polls, group=group))
        if pid % at_once == 0:
            merged = merge_processes(merged)
    merged = merge_processes(merged)
    assert len(merged) <= MOST_SECTIONS + 1
    assert sum(each.processes for each in merged) == sum(each.loops for each in merged) == len(processes)
    assert sum(each.metrics.polls for each in merged) == sum(polls for _, polls, _ in processes)
    for name in "xyz":
        counted = sum(group.polls for each in merged for group in each.groups if group.name == name)
        assert counted == sum(polls for _, polls, group in processes if group == name)
    assert [each.argv for each in merged].count(OTHER_COMMANDS) <= 1


def test_many_processes_of_many_groups_stay_within_bounds() -> None:
    number = MOST_GROUPS + 50
    [merged] = merge_processes(report(pid, "a", polls=pid + 1, group=f"group {pid}") for pid in range(number))
    assert merged.processes == number
    assert len(merged.pids) == MOST_PIDS
    assert len(merged.groups) == merged.metrics.groups == MOST_GROUPS
    assert sum(group.polls for group in merged.groups) == merged.metrics.polls
    [again] = merge_processes([merged, report(0, "a", group="one more")])
    assert [group.name for group in again.groups].count("(other)") == 1
    assert len(again.groups) == MOST_GROUPS
