"""The manual hooks: polls that somebody else drives are accounted for as our own are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import _core as core
from asyncio_pulse.lowlevel import PollResult, PreemptionHooks, TaskContext

EXAMPLE = Path(__file__).parents[2] / "examples" / "trio_instrument.py"


@pytest.fixture
def manager() -> pulse.TierManager:
    return pulse.TierManager()


def poll(manager: pulse.TierManager, task_id: int, ms: float, **options: object) -> None:
    manager.before_poll(task_id, TaskContext(manager.worker_id, **options))  # type: ignore[arg-type]
    manager.after_poll(task_id, PollResult.PENDING, int(ms * 1e6))


def test_polls_are_counted_and_judged_by_the_duration_that_is_told(manager: pulse.TierManager) -> None:
    for ms in (1, 3, 30):
        poll(manager, 7, ms, group="jobs")
    manager.on_yield(7)
    manager.on_completion(7)
    metrics = manager.get_metrics()
    assert (metrics.polls, metrics.violations, metrics.slow_polls, metrics.voluntary_yields) == (3, 2, 1, 1)
    assert (metrics.tasks, metrics.tasks_alive) == (1, 0)
    assert abs(metrics.wall_time_ns - 34_000_000) < 34_000
    assert abs(metrics.cpu_time_ns - 34_000_000) < 34_000
    [group] = manager.groups()
    assert (group.name, group.explicit, group.polls, group.violations) == ("jobs", True, 3, 2)
    assert [worst.group for worst in manager.report().worst_polls] == ["jobs"]


@pytest.mark.parametrize(("priority", "budget_ms"), [(0, 8), (1, 4), (2, 2), (3, 1)])
def test_the_budget_is_that_of_the_priority(manager: pulse.TierManager, priority: int, budget_ms: int) -> None:
    context = TaskContext(0, pulse.TaskPriority(priority))
    assert context.priority_budget_multiplier() == budget_ms / 2
    for id_, ms in enumerate((budget_ms * 0.99, budget_ms * 1.01)):
        poll(manager, id_, ms, priority=pulse.TaskPriority(priority))
    assert manager.get_metrics().violations == 1


def test_the_group_stays_out_of_the_context_in_which_it_is_told(manager: pulse.TierManager) -> None:
    async def work() -> str:
        return pulse.current().group

    poll(manager, 1, 1, group="elsewhere")
    assert pulse.run(work()).endswith("work")


def test_a_context_without_a_priority_is_normal() -> None:
    context = TaskContext(3)
    assert context.task_priority() is pulse.TaskPriority.NORMAL
    assert (context.priority_budget_multiplier(), context.priority_threshold_multiplier()) == (1.0, 1.0)


@pytest.mark.parametrize("result", [PollResult.READY, PollResult.FAILED])
def test_a_task_ends_with_its_last_poll(manager: pulse.TierManager, result: PollResult) -> None:
    manager.before_poll(1, TaskContext(0))
    manager.after_poll(1, result, 10)
    assert manager.get_metrics().tasks_alive == 0
    with pytest.raises(RuntimeError, match="without before_poll"):
        manager.after_poll(1, result, 10)


def test_a_task_may_be_said_to_be_done_in_the_middle_of_its_poll(manager: pulse.TierManager) -> None:
    manager.before_poll(1, TaskContext(0))
    manager.on_completion(1)
    assert manager.get_metrics().tasks_alive == 1
    manager.after_poll(1, PollResult.PENDING, 10)
    assert (manager.get_metrics().polls, manager.get_metrics().tasks_alive) == (1, 0)


def test_polls_nest(manager: pulse.TierManager) -> None:
    manager.before_poll(1, TaskContext(0, group="outer"))
    poll(manager, 2, 5, group="inner")
    manager.after_poll(1, PollResult.PENDING, 6_000_000)
    walls = {group.name: group.wall_time_ns for group in manager.groups()}
    # What the inner one took by the clock of its caller, the outer one did not use itself.
    assert walls["inner"] > 4 * walls["outer"] > 0


def test_hooks_called_out_of_order_are_refused(manager: pulse.TierManager) -> None:
    manager.before_poll(1, TaskContext(0))
    with pytest.raises(RuntimeError, match="twice"):
        manager.before_poll(1, TaskContext(0))
    manager.before_poll(2, TaskContext(0))
    with pytest.raises(RuntimeError, match="not the one being polled"):
        manager.after_poll(1, PollResult.PENDING, 1)
    with pytest.raises(ValueError, match="at least 0"):
        manager.after_poll(2, PollResult.PENDING, -1)
    manager.after_poll(2, PollResult.PENDING, 1)
    manager.after_poll(1, PollResult.PENDING, 1)
    assert manager.get_metrics().polls == 2


def test_unknown_tasks_yield_and_end_without_harm(manager: pulse.TierManager) -> None:
    manager.on_yield(5)
    manager.on_completion(5)
    assert manager.get_metrics().voluntary_yields == 0


def test_a_manager_dropped_in_the_middle_of_a_poll_leaves_nothing() -> None:
    manager = pulse.TierManager()
    manager.before_poll(1, TaskContext(0))
    assert core.current() is not None
    del manager
    assert core.current() is None


def test_the_example_counts_trio_s_tasks() -> None:
    pytest.importorskip("trio")
    done = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    polls = {line.split()[0]: line.split() for line in done.stdout.splitlines()}
    assert polls["__main__.polite"][2] == "303"
    assert polls["__main__.greedy"][4] == "1"


@pytest.mark.parametrize("inside", [False, True])
def test_hooks_are_told_everything_that_the_manager_is(manager: pulse.TierManager, inside: bool) -> None:
    told: list[tuple[str, int]] = []

    class Recorder(PreemptionHooks):
        pass

    for name in ("before_poll", "after_poll", "on_yield", "on_completion"):
        setattr(Recorder, name, lambda self, task_id, *rest, name=name: told.append((name, task_id)))
    manager.hooks.register(Recorder())
    poll(manager, 7, 1)
    manager.on_yield(7)
    manager.before_poll(7, TaskContext(manager.worker_id))
    if inside:
        manager.on_completion(7)
    manager.after_poll(7, PollResult.PENDING, 1_000)
    if not inside:
        manager.on_completion(7)
    manager.on_yield(7)
    expected = ["before_poll", "after_poll", "on_yield", "before_poll", "after_poll", "on_completion"]
    assert [name for name, _ in told] == expected
    # The number that the core gave it, the same for all.
    assert len({task_id for _, task_id in told}) == 1
