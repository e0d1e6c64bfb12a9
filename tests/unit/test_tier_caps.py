"""Accounts that can come no higher: what holds them, and how little they are judged."""

from __future__ import annotations

import time
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse.policy.tier_config import GroupPolicy, InterventionAction
from asyncio_pulse.runtime.decisions import TierDecisions
from tests.support.tier_driver import QUICK_DOWN, Driver, quick

MONITOR, WARN, YIELD, ISOLATE = InterventionAction
NEVER_MS = 3_600_000


def test_a_critical_task_stays_at_warn_unless_its_group_is_allowed_more() -> None:
    for groups, expected in (({}, WARN), ({"jobs": GroupPolicy(max_tier=YIELD)}, YIELD)):
        driver = Driver(quick(groups=groups))
        driver.rise_to(YIELD)
        before = driver.manager.get_metrics().would_park
        driver.manager.set_mode("observe")
        for _ in range(10):
            driver.poll(0, task=1, priority=pulse.TaskPriority.CRITICAL)
        parked = driver.manager.get_metrics().would_park - before
        assert parked == (10 if expected == YIELD else 0)


def test_bad_polls_of_who_can_come_no_higher_are_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    decide = TierDecisions.on_bad_poll

    def listen(self: TierDecisions, *facts: Any) -> None:
        told.append(facts)
        decide(self, *facts)

    monkeypatch.setattr(TierDecisions, "on_bad_poll", listen)
    driver = Driver()
    driver.rise_to(YIELD)
    before = len(told)
    started = time.monotonic()
    # Its other tasks, too: the group is where they may come to.
    for task in range(1_000):
        driver.offend(task=task % 3)
    # One each tenth of a second, and not one before somebody waited.
    assert len(told) - before <= 2 + 11 * (time.monotonic() - started) < 500
    # WHEN it may come higher THEN it is told at once
    driver.manager.update_config(quick(groups={"jobs": GroupPolicy(max_tier=ISOLATE)}))
    driver.rise_to(ISOLATE)


def test_violations_that_were_not_told_forbid_to_come_down() -> None:
    driver = Driver(quick(tier_policies=QUICK_DOWN, cooldown_duration_ms=NEVER_MS))
    driver.rise_to(YIELD)
    for _ in range(50):
        driver.offend()
    time.sleep(0.011)
    for _ in range(10):
        driver.poll(0.01)
    assert driver.tier() == YIELD
