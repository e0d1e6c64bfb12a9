"""Who hears of changes of tier: the audit ring, events, hooks, the log."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import TierConfig
from asyncio_pulse.lowlevel import PollResult, PreemptionHooks
from asyncio_pulse.metrics.model import TierChange
from asyncio_pulse.policy.tier_config import InterventionAction, TierPolicyBuilder
from asyncio_pulse.policy.tier_policy import BALANCED_TIERS
from asyncio_pulse.runtime.events import MOST_WAITING, TierEvents
from tests.support.loops import LoopFactory
from tests.support.tier_driver import QUICK_DOWN, Driver, quick

MONITOR, WARN, YIELD, ISOLATE = InterventionAction


# The audit ring.


def test_the_audit_ring_is_bounded_and_keeps_the_latest() -> None:
    driver = Driver(quick(audit_size=16))
    for number in range(20):
        driver.offend(f"group {number}")
    audit = driver.manager.audit()
    assert len(audit) == 16
    assert [change.group for change in audit[::2]] == [f"group {number}" for number in range(12, 20)]
    assert [change.at_ns for change in audit] == sorted(change.at_ns for change in audit)


def test_another_size_of_the_ring_keeps_the_latest() -> None:
    driver = Driver(quick(audit_size=64))
    for number in range(20):
        driver.offend(f"group {number}")
    latest = driver.manager.audit()[-16:]
    driver.manager.update_config(quick(audit_size=16))
    assert driver.manager.audit() == latest
    driver.offend("one more")
    assert (len(driver.manager.audit()), driver.manager.audit()[-1].group) == (16, "one more")


# Events.


def test_events_are_told_in_order_to_everyone_who_listens() -> None:
    driver = Driver()

    async def listen() -> list[tuple[TierChange, TierChange]]:
        streams = driver.manager.events(), driver.manager.events()
        driver.rise_to(YIELD)
        return [(await anext(streams[0]), await anext(streams[1])) for _ in driver.manager.audit()]

    pairs = asyncio.run(listen())
    assert [pair[0] for pair in pairs] == [pair[1] for pair in pairs] == list(driver.manager.audit())


def test_events_begin_when_they_are_asked_for() -> None:
    driver = Driver()

    async def listen() -> TierChange:
        driver.rise_to(WARN)
        events = driver.manager.events()
        assert aiter(events) is events
        driver.rise_to(YIELD)
        async for change in events:
            return change
        raise AssertionError("no change was told")

    assert asyncio.run(listen()).after == YIELD


def test_a_slow_consumer_loses_the_oldest_events_and_is_told_how_many() -> None:
    driver = Driver(quick(audit_size=4096))

    async def listen() -> tuple[TierEvents, TierChange]:
        events = driver.manager.events()
        for number in range(MOST_WAITING // 2 + 50):
            driver.offend(f"group {number}")
        return events, await anext(events)

    events, first = asyncio.run(listen())
    changes = driver.manager.audit()
    assert events.dropped == len(changes) - MOST_WAITING == 100
    assert first == changes[100]


def test_events_are_heard_on_the_loop_of_another_thread(loop_factory: LoopFactory) -> None:
    driver = Driver()
    heard: list[TierChange] = []
    listening = threading.Event()

    async def listen() -> None:
        events = driver.manager.events()
        listening.set()
        heard.append(await asyncio.wait_for(anext(events), 10))

    def run() -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(listen())

    thread = threading.Thread(target=run)
    thread.start()
    listening.wait()
    time.sleep(0.01)
    driver.rise_to(WARN)
    thread.join()
    assert heard == [driver.manager.audit()[0]]


def test_listeners_whose_loop_is_closed_or_who_are_gone_cost_nothing() -> None:
    driver = Driver()

    async def listen() -> TierEvents:
        driver.manager.events()
        return driver.manager.events()

    events = asyncio.run(listen())
    driver.rise_to(YIELD)
    assert len(driver.manager._events._streams) == 0
    assert driver.manager.get_metrics().internal_errors == 0
    assert events.dropped == 0


def test_events_need_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        Driver().manager.events()


# Hooks.


class Listener(PreemptionHooks):
    def __init__(self) -> None:
        self.changes: list[TierChange] = []

    def on_tier_change(self, change: TierChange, **kwargs: Any) -> None:
        self.changes.append(change)


def test_hooks_are_told() -> None:
    driver, listener = Driver(), Listener()
    driver.manager.hooks.register(listener)
    driver.rise_to(YIELD)
    assert tuple(listener.changes) == driver.manager.audit()


def test_a_hook_that_raises_is_removed(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(PreemptionHooks):
        calls = 0

        def on_tier_change(self, change: TierChange, **kwargs: Any) -> None:
            type(self).calls += 1
            raise ZeroDivisionError("a fault of the hook")

    driver, listener = Driver(), Listener()
    driver.manager.hooks.register(Faulty())
    driver.manager.hooks.register(listener)
    driver.rise_to(YIELD)
    assert (Faulty.calls, len(driver.manager.hooks)) == (1, 1)
    assert [record for record in caplog.records if "on_tier_change of" in record.message]
    assert tuple(listener.changes) == driver.manager.audit()
    assert driver.manager.get_metrics().internal_errors == 0


def test_a_hook_may_reconfigure_while_another_thread_does() -> None:
    """Nobody is told while a lock is held: the two would wait for each other."""

    class Reconfiguring(PreemptionHooks):
        def on_tier_change(self, change: TierChange, **kwargs: Any) -> None:
            # As if it took its time, and the other thread came just now.
            waiting.set()
            time.sleep(0.05)
            driver.manager.update_config(quick())

    driver, waiting, hooks = Driver(), threading.Event(), Reconfiguring()
    driver.manager.hooks.register(hooks)

    def reconfigure() -> None:
        waiting.wait()
        driver.manager.update_config(quick())

    thread = threading.Thread(target=reconfigure, daemon=True)
    thread.start()
    driver.rise_to(WARN)
    thread.join(10)
    assert not thread.is_alive()
    # The core keeps hooks, and these keep their manager, which keeps the core.
    driver.manager.hooks.unregister(hooks)


# The log.


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "asyncio_pulse.tiers")
    return caplog


def logged(log: pytest.LogCaptureFixture, account: str | None = None) -> list[TierChange]:
    """List the changes that were logged, of tasks or groups or all."""
    changes = [record.tier_change for record in log.records if hasattr(record, "tier_change")]
    return [change for change in changes if account in (None, change.account)]


def test_a_change_is_logged_once_and_structured(log: pytest.LogCaptureFixture) -> None:
    driver = Driver(quick(tier_policies=QUICK_DOWN))
    driver.rise_to(WARN)
    time.sleep(0.011)
    for _ in range(5):
        driver.poll(0.01)
    changes = driver.manager.audit()
    assert driver.changes() == [(0, 1), (1, 0)]
    assert logged(log) == list(changes)
    origin = f"asyncio-pulse pid {os.getpid()} worker {driver.manager.worker_id}: "
    assert [record.getMessage() for record in log.records] == [origin + str(change) for change in changes]
    levels = [logging.WARNING if change.after > change.before else logging.INFO for change in changes]
    assert [record.levelno for record in log.records] == levels


@pytest.mark.parametrize(("interval_ms", "expected"), [(3_600_000, 1), (0, 30)])
def test_the_log_is_rate_limited_by_account(interval_ms: int, expected: int, log: pytest.LogCaptureFixture) -> None:
    driver = Driver(quick(warn_interval_ms=interval_ms))
    for number in range(30):
        # Each is a task of its own, as a request is, all of one coroutine function and without a group.
        driver.offend(None, task=number)
    # Nor do they fill the audit ring.
    [change] = driver.manager.audit()
    assert change.count == 30
    assert len(logged(log)) == expected


def test_no_number_of_accounts_fills_the_log(log: pytest.LogCaptureFixture) -> None:
    driver = Driver(quick(warn_interval_ms=3_600_000, audit_size=16))
    for number in range(1100):
        driver.offend(f"group {number}", result=PollResult.READY)
    # One for all beyond as many; one for all tasks, whose name is the same.
    assert len(logged(log)) == 1025


def test_a_warning_says_which_line_took_the_time(loop_factory: LoopFactory, log: pytest.LogCaptureFixture) -> None:
    def burn() -> None:
        # A pause of the whole machine, in which nothing is sampled, counts for as little as a step does.
        left, before = 0.5, time.thread_time()
        while left > 0:
            now = time.thread_time()
            left -= min(now - before, 0.005)
            before = now

    async def offender() -> None:
        burn()

    async def main() -> None:
        await pulse.spawn(offender(), group="route")
        await asyncio.sleep(0)

    pulse.run(main(), loop_factory=loop_factory)
    [change] = logged(log, "group")
    first = burn.__code__.co_firstlineno
    assert (change.filename, change.function) == (__file__, burn.__qualname__)
    assert first < change.line <= first + 6
    assert [frame.function for frame in change.stack][:2] == [burn.__qualname__, offender.__qualname__]
    assert f"{__file__}:{change.line}" in str(change)


def test_a_warning_without_a_stack_says_where_the_coroutine_is_defined(log: pytest.LogCaptureFixture) -> None:
    async def offender() -> None:
        end = time.thread_time() + 0.002
        while time.thread_time() < end:
            pass

    async def main() -> None:
        await pulse.spawn(offender(), group="route")
        await asyncio.sleep(0)

    sudden = [TierPolicyBuilder(tier).promotion_violations(1).build() for tier in BALANCED_TIERS[:3]]
    pulse.run(main(), config=TierConfig(poll_budget_us=50, tier_policies=(*sudden, BALANCED_TIERS[3])))
    [change] = logged(log, "group")
    assert change.stack == ()
    code = offender.__code__
    assert (change.function, change.filename, change.line) == (code.co_qualname, __file__, code.co_firstlineno)
