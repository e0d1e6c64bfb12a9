"""The ledger: what a report holds of tiers, of loops that are there and of loops that are gone."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator

import pytest

import asyncio_pulse as pulse
from asyncio_pulse.config import InterventionAction, TierPolicyBuilder
from asyncio_pulse.metrics.model import GroupMetrics, TierChange
from asyncio_pulse.runtime import ledger, sums
from tests.support.loops import LoopFactory

# Three violations lead to Warn, and nothing leads beyond.
STERN = pulse.TierConfig(poll_budget_us=50, max_tier=InterventionAction.WARN, mode="observe").with_tier_policy(
    InterventionAction.MONITOR,
    TierPolicyBuilder(InterventionAction.MONITOR).promotion_violations(3).build(),
)


@pytest.fixture(autouse=True)
def _empty_ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ledger, "_ledger", ledger._Ledger())
    yield
    assert ledger._ledger.open == []


async def offend(polls: int = 5) -> None:
    """Break the budget with each poll, by far more than the error of a poll's CPU time."""
    for _ in range(polls):
        end = time.thread_time() + 0.002
        while time.thread_time() < end:
            pass
        await asyncio.sleep(0)


async def offend_and_stay(stay: asyncio.Event) -> None:
    await offend()
    await stay.wait()


def of(changes: tuple[TierChange, ...], account: str) -> list[TierChange]:
    return [change for change in changes if change.account == account]


def test_live_offenders_are_told_of_and_nobody_else(any_loop: asyncio.AbstractEventLoop) -> None:
    seen = []

    async def main() -> None:
        stay = asyncio.Event()
        tasks = [pulse.spawn(offend_and_stay(stay), name="the offender"), pulse.spawn(stay.wait(), name="calm")]
        await asyncio.sleep(0.1)
        seen.append(ledger.process_report())
        stay.set()
        await asyncio.gather(*tasks)

    manager = pulse.install(STERN, loop=any_loop)
    any_loop.run_until_complete(main())
    [task] = seen[0].tasks
    assert (task.name, task.tier, task.coroutine) == ("the offender", 1, "offend_and_stay")
    assert "violations within 1000 ms" in task.tier_reason
    assert manager.report().tasks == ledger.process_report().tasks == ()
    pulse.uninstall(loop=any_loop)


def test_of_loops_that_are_gone_the_highest_tier_is_told_and_no_tasks(loop_factory: LoopFactory) -> None:
    for mode in ("observe", "act"):
        loop = loop_factory()
        manager = pulse.install(STERN, loop=loop)
        manager.set_mode(mode)
        stay = asyncio.Event()
        left = loop.create_task(offend_and_stay(stay))

        async def main() -> None:
            await pulse.spawn(offend(), group="jobs")
            await asyncio.sleep(0.05)

        loop.run_until_complete(main())
        assert manager.report().tasks
        pulse.uninstall(loop=loop)
        left.cancel()
        loop.run_until_complete(asyncio.gather(left, return_exceptions=True))
        loop.close()
    report = ledger.process_report()
    [group] = [group for group in report.groups if group.name == "jobs"]
    assert (group.tier, group.tasks) == (1, 2)
    assert "violations" in group.tier_reason
    assert report.tasks == ()
    [loop_tiers] = report.loop_tiers
    assert (loop_tiers.worker_id, loop_tiers.mode, loop_tiers.freezes) == (0, "act", 0)
    [change] = of(report.tier_changes, "group")
    assert (change.name, change.before, change.after, change.count, change.mode) == ("jobs", 0, 1, 2, "act")
    assert [change.at_ns for change in report.tier_changes] == sorted(
        (change.at_ns for change in report.tier_changes), reverse=True
    )


def test_many_tasks_of_one_kind_do_not_push_others_out(any_loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        await pulse.spawn(offend(), group="jobs")
        for _ in range(sums.MOST_CHANGES):
            await asyncio.create_task(offend(3))

    manager = pulse.install(STERN, loop=any_loop)
    any_loop.run_until_complete(main())
    changes = ledger.process_report().tier_changes
    assert sum(change.count for change in changes) > sums.MOST_CHANGES > len(manager.audit())
    [group] = of(changes, "group")
    assert (group.name, group.count) == ("jobs", 1)
    pulse.uninstall(loop=any_loop)


def test_of_two_loops_the_higher_tier_says_why() -> None:
    calm, tried = GroupMetrics("jobs", polls=1), GroupMetrics("jobs", polls=2, tier_reason="held back")
    offending = GroupMetrics("jobs", polls=4, tier=2, tier_reason="5 violations")
    for groups in itertools.permutations([calm, tried, offending]):
        [group] = sums._sum_groups(groups)
        assert (group.polls, group.tier, group.tier_reason) == (7, 2, "5 violations")
    for groups in itertools.permutations([calm, tried]):
        assert sums._sum_groups(groups)[0].tier_reason == "held back"
