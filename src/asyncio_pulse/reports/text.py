"""The text report, at most 80 columns wide, in plain characters; `terminal` shows the same in colour."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from asyncio_pulse.metrics.code_places import first_own
from asyncio_pulse.metrics.model import (
    STALL_WORDS,
    GroupMetrics,
    Histogram,
    KeptWaiting,
    QueueMetrics,
    RefusedPlace,
    Report,
    SlowQueueMetrics,
    StackFrame,
    Stall,
    WorstPoll,
)
from asyncio_pulse.metrics.places import choose

from . import target_lines, tier_lines, wording
from .advice import KEPT_GIL_NS
from .wording import INDENT, WIDTH

__all__ = [
    "GROUP_HEADINGS",
    "NAME_WIDTH",
    "format_reports",
    "group_cells",
    "is_off",
    "longest_groups",
    "process_lines",
    "sections",
    "title",
    "why_no_loop",
]

GROUP_LIMIT = 15
PID_LIMIT = 2
MOST_OF_GROUP = 3
"""Number of places shown per group while other groups still have some."""
STACK_LIMIT = 3
GROUP_HEADINGS = ("group", "polls", "CPU", "slow", "viol.", "p50", "p99", "max")
COLUMN_WIDTHS = (8, 8, 6, 6, 8, 8, 8)
NAME_WIDTH = WIDTH - sum(COLUMN_WIDTHS)
OFF = "asyncio-pulse: the mode is off, so nothing was measured\n"


def format_reports(reports: Sequence[Report], worst_count: int) -> str:
    """Format the report of a run.

    Args:
        reports: One report per process, the main process first; at least one.
        worst_count: Number of worst polls to show, >= 0.

    Returns:
        Lines of at most 79 characters, except lines to paste. The last line ends with a newline too.
    """
    if all(is_off(report) for report in reports):
        return OFF
    lines = [title(reports)]
    for report in reports:
        for block in (target_lines.target_lines(report), process_lines(report), _group_lines(report.groups)):
            lines += _after_blank(block)
        for heading, records in sections(report, worst_count):
            lines += ["", heading, *(line for record in records for line in record)]
    return "\n".join([*lines, ""])


def _after_blank(block: Iterable[str]) -> list[str]:
    lines = list(block)
    return ["", *lines] if lines else []


def is_off(report: Report) -> bool:
    """Whether nothing was measured because the mode was off."""
    return not report.metrics.tasks and {loop.mode for loop in report.loop_tiers} == {"off"}


def why_no_loop(saw_asyncio: bool, saw_loop: bool, had_children: bool) -> str:
    """Explain in one line why there is nothing to report.

    Args:
        saw_asyncio: Whether the main process imported asyncio.
        saw_loop: Whether it made an event loop of a governed kind.
        had_children: Whether it had child processes. None of them left a report.
    """
    if saw_loop:
        why = "no task ran on a governed event loop"
    elif saw_asyncio:
        why = "asyncio was imported, but no event loop of asyncio's or uvloop's kind was made"
    else:
        why = "no event loop ran, so there is nothing to report"
    if had_children:
        why += (
            "; no child process left a report either: each needs a Python with asyncio-pulse and our environment "
            "variables, and must not end by a signal or os._exit"
        )
    return f"asyncio-pulse: {why}\n"


def sections(report: Report, worst_count: int) -> Iterator[tuple[str, list[list[str]]]]:
    """Describe tiers, stalls and worst polls: every heading with content, and the lines of each of its records."""
    yield from tier_lines.sections(report)
    stalls = [
        _stall_lines(rank, stall) for rank, stall in enumerate(choose(report.stalls, worst_count, MOST_OF_GROUP), 1)
    ]
    worst = choose(report.worst_polls, worst_count, MOST_OF_GROUP)
    polls = [_worst_poll_lines(rank, poll) for rank, poll in enumerate(worst, 1)]
    if stalls:
        yield "stalls: the loop did not come back to its selector", stalls
    if polls:
        yield "worst polls", polls
    places = report.preemption.places[:worst_count]
    if places:
        yield "not preempted", [_refused_lines(rank, place) for rank, place in enumerate(places, 1)]
    advice = target_lines.advice_section(report)
    if advice:
        yield target_lines.ADVICE_HEADING, advice


def title(reports: Sequence[Report]) -> str:
    """Return the numbers of processes and loops as a title."""
    number = sum(report.processes for report in reports)
    processes = f"{wording.count(number)} process{'' if number == 1 else 'es'}"
    return f"asyncio-pulse: {processes}, {wording.plural(sum(report.loops for report in reports), 'event loop')}"


def process_lines(report: Report) -> list[str]:
    """Describe a process and the totals of its loops."""
    metrics = report.metrics
    alive = f" ({wording.count(metrics.tasks_alive)} alive)" if metrics.tasks_alive else ""
    loops, tasks = wording.plural(report.loops, "loop"), wording.plural(metrics.tasks, "task")
    busy = wording.share(metrics.wall_time_ns, metrics.uptime_ns)
    lines = [
        f"{_processes(report)}: {shlex.join(report.argv)}",
        f"Python {report.python}, {report.clock} clock, {loops}, {tasks}{alive}",
        f"{wording.plural(metrics.polls, 'poll')} took {wording.duration(metrics.wall_time_ns)} "
        f"in {wording.duration(metrics.uptime_ns)}: {busy} busy, "
        f"CPU {wording.duration(metrics.cpu_time_ns)}, GC {wording.duration(metrics.gc_time_ns)}",
        f"{wording.plural(metrics.slow_polls, 'slow poll')}, {wording.plural(metrics.violations, 'budget violation')}",
    ]
    for loop in report.loop_metrics:
        if not loop.watched:
            lines.append(f"worker {loop.worker_id}: utilisation and lag are not watched: its turns cannot be seen")
            continue
        lag = f"{wording.duration(loop.p50_lag_ns)}, p99 {wording.duration(loop.p99_lag_ns)}"
        lines.append(
            f"worker {loop.worker_id}: utilisation {wording.share(loop.busy_ns, loop.watched_ns)}, lag p50 {lag}, "
            f"max {wording.duration(loop.max_lag_ns)}"
        )
    lines += tier_lines.mode_lines(report)
    if report.slow_queue.parked:
        lines.append(_slow_queue_line(report.slow_queue))
    if report.slow_queue.kept_waiting:
        lines += _kept_waiting_lines(report.slow_queue.kept_waiting[0])
    if report.slow_queue.overlong_turns.waits.count:
        lines.append(_overlong_turns_line(report.slow_queue.overlong_turns))
    if metrics.preemptions:
        delay = report.preemption.delay
        times = f"{wording.duration(delay.percentile(50))}, p99 {wording.duration(delay.percentile(99))}"
        lines.append(f"{wording.plural(metrics.preemptions, 'preemption')}, after the budget's end p50 {times}")
    if metrics.internal_errors:
        lines.append(f"{wording.plural(metrics.internal_errors, 'internal error')} contained; please report this")
    return [wording.shorten(wording.plain(line), WIDTH) for line in lines]


def _processes(report: Report) -> str:
    if report.processes == 1:
        return f"process {report.pid}"
    shown = ", ".join(map(str, report.pids[:PID_LIMIT]))
    return f"{wording.count(report.processes)} processes ({shown}{', ...' if report.processes > PID_LIMIT else ''})"


def _slow_queue_line(metrics: SlowQueueMetrics) -> str:
    waits = Histogram.merge((metrics.queue.waits, metrics.isolated.waits))
    overflows = metrics.queue.overflows + metrics.isolated.overflows
    return f"slow queue: {wording.count(metrics.parked)} parked, {_waited(waits, overflows)}"


def _kept_waiting_lines(longest: KeptWaiting) -> list[str]:
    times = wording.plural(longest.count, "time")
    return [
        f"a Monitor task waited up to {wording.duration(longest.longest_ns)} for parked work, {times}:",
        f"{INDENT}{longest.waiter} for {longest.holder} of {longest.group}",
        f"{INDENT}give the latter max_tier='warn' if others depend on it, or await its task",
    ]


def _overlong_turns_line(queue: QueueMetrics) -> str:
    aside = wording.plural(queue.waits.count, "poll")
    return f"overlong turns: {aside} put aside, {_waited(queue.waits, queue.overflows)}"


def _waited(waits: Histogram, overflows: int) -> str:
    full = f", full {wording.count(overflows)} times" if overflows else ""
    return f"waited p50 {wording.duration(waits.percentile(50))}, p99 {wording.duration(waits.percentile(99))}{full}"


def group_cells(group: GroupMetrics, name_width: int) -> tuple[str, ...]:
    """Return a group's cells of the table, in the order of `GROUP_HEADINGS`."""
    return (
        wording.shorten(wording.plain(group.name), name_width),
        wording.count(group.polls, 7),
        wording.duration(group.cpu_time_ns),
        wording.count(group.slow_polls, 5),
        wording.count(group.violations, 5),
        wording.duration(group.p50_ns),
        wording.duration(group.p99_ns),
        wording.duration(group.max_ns),
    )


def longest_groups(groups: Sequence[GroupMetrics]) -> tuple[list[GroupMetrics], int]:
    """Return the groups to show, most wall time first, and the number of groups left out.

    Groups without a poll are left out. One example: the polls of a task with options of its own are in the group of its
    call.
    """
    polled = [group for group in groups if group.polls]
    longest = sorted(polled, key=lambda group: group.wall_time_ns, reverse=True)
    return longest[:GROUP_LIMIT], max(0, len(longest) - GROUP_LIMIT)


def _group_lines(groups: Sequence[GroupMetrics]) -> Iterator[str]:
    shown, hidden_count = longest_groups(groups)
    for cells in (GROUP_HEADINGS, *(group_cells(group, NAME_WIDTH) for group in shown)):
        numbers = "".join(cell.rjust(width) for cell, width in zip(cells[1:], COLUMN_WIDTHS, strict=True))
        yield cells[0].ljust(NAME_WIDTH) + numbers
    if hidden_count:
        yield f"and {wording.count(hidden_count)} more"


def _worst_poll_lines(rank: int, poll: WorstPoll) -> list[str]:
    """Describe one of the worst polls: its duration, place and number, its owner, and what was running."""
    where = wording.headline(poll)
    start = f"{rank:2}. {wording.duration(poll.wall_ns)} {'in' if poll.sampled else 'somewhere in'} "
    ending = "" if poll.sampled else " (no sample)"
    numbers = f"CPU {wording.duration(poll.cpu_ns)}, GC {wording.duration(poll.gc_ns)}"
    if poll.count > 1:
        numbers += f"; {wording.count(poll.count)} times, {wording.duration(poll.total_wall_ns)} in all"
    group = wording.shorten(f"group {wording.plain(poll.group)}", WIDTH // 2)
    task = wording.shorten(f"task {wording.plain(poll.task)}", WIDTH - len(INDENT + group) - 2)
    lines = [wording.located(start, where, ending), INDENT + numbers, f"{INDENT}{group}, {task}"]
    return lines + _stack_lines(poll, where)


def _stack_lines(record: WorstPoll | Stall, where: StackFrame) -> list[str]:
    frames = wording.collapse_recursion(record.stack)
    if frames == [(where, 1)]:
        return []
    words = ("at", *["by"] * (STACK_LIMIT - 1))
    lines = [
        wording.located(f"{INDENT}{word} ", frame, f" (x{times})" if times > 1 else "")
        for (frame, times), word in zip(frames, words, strict=False)
    ]
    own = first_own(record.stack)
    if own is not None and all(own != frame for frame in (where, *(frame for frame, _ in frames[:STACK_LIMIT]))):
        lines.append(wording.located(f"{INDENT}from ", own))
    return lines


def _stall_lines(rank: int, stall: Stall) -> list[str]:
    """Describe a stall: its duration, cause, place and number, and what was running."""
    where = wording.headline(stall)
    kept = STALL_WORDS.get(stall.stall_class, wording.plain(stall.stall_class))
    length = wording.duration(stall.wall_ns)
    if stall.within_ns:
        kept = "blocked in short calls, again and again"
        length += f" of {wording.duration(stall.within_ns)}"
    if stall.gil_held_ns > KEPT_GIL_NS:
        kept = f"{kept}, kept the GIL {wording.duration(stall.gil_held_ns)}"
    if stall.count > 1:
        kept += f"; {wording.count(stall.count)} times, {wording.duration(stall.total_wall_ns)} in all"
    start = f"{rank:2}. {length} {'in' if stall.sampled else 'somewhere in'} "
    ending = "" if stall.sampled else " (no sample)"
    lines = [wording.located(start, where, ending), wording.shorten(INDENT + kept, WIDTH)]
    if stall.culprit:
        lines.append(wording.shorten(f"{INDENT}GIL: {wording.plain(stall.culprit)}", WIDTH))
    group = wording.shorten(f"group {wording.plain(stall.group)}", WIDTH // 2)
    task = f", task {wording.plain(stall.task)}" if stall.task else ""
    lines.append(wording.shorten(f"{INDENT}{group}{task}", WIDTH))
    return lines + _stack_lines(stall, where)


def _refused_lines(rank: int, place: RefusedPlace) -> list[str]:
    """Describe a place where tasks were not preempted: how often, why, and what to do."""
    where = StackFrame(place.function, place.filename, place.line)
    why, advice = wording.REFUSALS.get(place.rule, (wording.plain(place.rule), ""))
    lines = [
        wording.located(f"{rank:2}. {wording.plural(place.count, 'time')} in ", where),
        f"{INDENT}{why}",
        INDENT + advice,
    ]
    return [wording.shorten(line, WIDTH) for line in lines if line.strip()]
