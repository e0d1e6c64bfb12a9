"""Decisions about tiers put in force: through a manager whose polls the test drives, and on a loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import signal
import time
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import TierConfig, _core
from asyncio_pulse.lowlevel import PollResult, TaskContext
from asyncio_pulse.policy import breaker
from asyncio_pulse.policy.tier_config import GroupPolicy, InterventionAction, TierPolicyBuilder
from asyncio_pulse.runtime.decisions import TierDecisions, _rolled_out
from tests.support.loops import LoopFactory
from tests.support.tier_driver import BAD_MS, QUICK_DOWN, Driver, quick

MONITOR, WARN, YIELD, ISOLATE = InterventionAction


# What is decided is in force.


def test_task_and_group_are_decided_about_by_the_same_machine() -> None:
    driver = Driver()
    driver.rise_to(YIELD)
    assert driver.changes() == driver.changes(account="task") == [(0, 1), (1, 2)]
    change = driver.manager.audit()[-1]
    assert (change.worker_id, change.mode, change.acted) == (driver.manager.worker_id, "act", True)
    assert change.wall_ns == pytest.approx(BAD_MS * 1e6, rel=0.01)
    assert change.cpu_ns == pytest.approx(BAD_MS * 1e6, rel=0.01)
    assert str(change).startswith("group jobs went from Warn to Yield: ")
    assert "ms of CPU beyond the budget within 10 ms (limit 25)" in change.reason
    assert driver.reason() == change.reason


def test_an_implicit_group_is_never_decided_about() -> None:
    driver = Driver()
    for _ in range(20):
        driver.offend(None)
    assert {change.account for change in driver.manager.audit()} == {"task"}
    assert all(not group.tier for group in driver.manager.groups() if not group.explicit)


def test_nobody_who_waits_nobody_who_is_hurt() -> None:
    driver = Driver()
    for _ in range(20):
        driver.poll(BAD_MS)
    assert driver.tier() == WARN
    assert driver.reason().endswith("but no other task waited for its CPU time")


def test_who_comes_later_was_not_kept_waiting() -> None:
    driver = Driver()
    for _ in range(10):
        driver.poll(BAD_MS)
        time.sleep(0.002)
        driver.look()
    assert driver.tier() == WARN


def test_somebody_waited_for_a_poll_that_had_others_inside() -> None:
    driver = Driver()
    for _ in range(100):
        outer = driver.manager
        outer.before_poll(1, TaskContext(0, group="jobs"))
        driver.poll(BAD_MS, "inner")
        outer.after_poll(1, PollResult.PENDING, 3 * BAD_MS * 1_000_000)
        driver.look()
        if driver.tier() == YIELD:
            break
    assert driver.changes() == [(0, 1), (1, 2)]


def test_good_polls_bring_it_down() -> None:
    driver = Driver(quick(tier_policies=QUICK_DOWN))
    driver.rise_to(YIELD)
    for _ in range(2):
        time.sleep(0.011)
        for _ in range(10):
            driver.poll(0.01)
    assert driver.changes() == driver.changes(account="task") == [(0, 1), (1, 2), (2, 1), (1, 0)]
    assert driver.manager.audit()[-1].reason.endswith("good polls in a row")
    assert driver.manager.audit()[-1].held_ms >= 10


@pytest.mark.parametrize("spoiling_ms", [0.4, 3], ids=["more than a good one may", "over the budget"])
def test_a_row_of_good_polls_that_is_broken_begins_anew(spoiling_ms: float) -> None:
    # GIVEN a row that is long enough, at a tier that may not be left yet
    down = [TierPolicyBuilder(tier).demotion_min_duration_ms(60).build() for tier in QUICK_DOWN]
    driver = Driver(quick(tier_policies=down))
    driver.rise_to(WARN)
    for _ in range(5):
        driver.poll(0.01)
    assert driver.tier() == WARN
    # WHEN a poll breaks it, and the time is over
    driver.poll(spoiling_ms)
    driver.look()
    time.sleep(0.07)
    # THEN it takes a whole new one
    for _ in range(4):
        driver.poll(0.01)
    assert driver.tier() == WARN
    driver.poll(0.01)
    assert driver.tier() == MONITOR


def test_a_poll_over_a_small_budget_is_not_good_though_the_tier_would_call_it_so() -> None:
    down = [TierPolicyBuilder(tier).demotion_good_polls(1).build() for tier in QUICK_DOWN]
    driver = Driver(quick(tier_policies=down, poll_budget_us=50, violation_rate_threshold=100_000))
    driver.rise_to(WARN)
    time.sleep(0.011)
    for _ in range(20):
        driver.poll(0.1)
        driver.poll(0.1)
    assert all(after > before for before, after in driver.changes())


def test_an_idle_group_comes_down_when_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(quick(idle_decay_ms=10_000, tier_policies=QUICK_DOWN))
    driver.rise_to(YIELD)
    clock = _core.monotonic_ns
    for passed_ms, tier in ((9_000, YIELD), (11_000, WARN), (21_000, MONITOR)):
        monkeypatch.setattr(_core, "monotonic_ns", lambda passed_ms=passed_ms: clock() + passed_ms * 1_000_000)
        assert driver.tier() == tier
    assert "idle for 20 s" in driver.reason()


def test_an_idle_account_comes_down_before_it_is_polled_again() -> None:
    driver = Driver(quick(idle_decay_ms=100, tier_policies=QUICK_DOWN))
    driver.rise_to(YIELD)
    time.sleep(0.25)
    driver.poll(0)
    assert driver.changes()[2:] == driver.changes(account="task")[2:] == [(2, 0)]


@pytest.mark.timing  # while the machine pauses, more time of idleness passes
def test_an_account_that_is_polled_now_and_then_is_not_idle() -> None:
    # GIVEN good polls so few that they are not told, each within the time of idleness of the last one
    driver = Driver(quick(idle_decay_ms=200))
    driver.rise_to(WARN)
    for _ in range(5):
        time.sleep(0.05)
        driver.poll(0.01)
    # WHEN a bad one is told THEN nothing has decayed
    driver.poll(3, result=PollResult.PENDING)
    driver.look()
    assert driver.changes() == [(0, 1)]


# Roll-out.


def test_a_share_of_the_groups_is_the_same_in_every_process_and_grows() -> None:
    names = [f"GET /{number}" for number in range(2000)]
    shares = [{name for name in names if _rolled_out(name, ratio)} for ratio in (0.0, 0.1, 0.5, 1.0)]
    assert [len(share) / len(names) for share in shares] == pytest.approx([0, 0.1, 0.5, 1], abs=0.1)
    assert all(smaller <= larger for smaller, larger in itertools.pairwise(shares))
    # The checksum of a name is not salted, as its hash is.
    assert "".join(str(int(_rolled_out(f"GET /{letter}", 0.5))) for letter in "abcdefghijklmnop") == "1001100110011001"


def test_interventions_act_on_a_share_of_the_groups() -> None:
    driver = Driver(quick(rollout_ratio=0.5))
    for group in ("GET /", "GET /a"):
        driver.rise_to(YIELD, group)
    assert (driver.would_park("GET /a"), driver.would_park("GET /")) == (0, 10)
    acted = {change.group: change.acted for change in driver.manager.audit()}
    assert (acted["GET /a"], acted["GET /"]) == (True, False)


@pytest.mark.parametrize("tier", [MONITOR, YIELD])
def test_another_share_takes_effect_at_once(tier: InterventionAction) -> None:
    # GIVEN a group that is known already, at a tier where it is observed
    driver = Driver(quick(rollout_ratio=0.0))
    driver.poll(3)
    driver.look()
    driver.rise_to(tier)
    # WHEN all groups are acted on
    driver.manager.update_config(quick())
    driver.rise_to(YIELD)
    # THEN this one is, too
    assert driver.would_park() == 0
    driver.manager.update_config(quick(rollout_ratio=0.0))
    assert driver.would_park() == 10


def test_a_mode_that_only_observes_counts_what_it_would_do() -> None:
    driver = Driver(quick(mode="observe"))
    driver.rise_to(YIELD)
    assert driver.would_park() == 10
    assert not any(change.acted for change in driver.manager.audit())
    driver.manager.set_mode("act")
    assert driver.would_park() == 0


# Groups by pattern.


def test_exempt_groups_are_measured_but_never_judged() -> None:
    driver = Driver(quick(groups={"health*": GroupPolicy(exempt=True)}))
    for _ in range(20):
        driver.offend("health check")
        driver.offend("jobs")
    groups = {group.name: group for group in driver.manager.groups()}
    assert (groups["health check"].tier, groups["health check"].violations) == (0, 20)
    assert groups["health check"].tier_reason == ""
    assert {change.group for change in driver.manager.audit()} == {"jobs"}


def test_a_group_that_is_made_exempt_comes_down_at_once_with_its_tasks() -> None:
    driver = Driver()
    driver.rise_to(YIELD)
    driver.manager.update_config(quick(groups={"jobs": GroupPolicy(exempt=True)}))
    assert driver.changes()[-1] == driver.changes(account="task")[-1] == (2, 0)


def test_a_lowered_cap_of_a_group_holds_at_once() -> None:
    driver = Driver()
    driver.rise_to(YIELD)
    driver.manager.update_config(quick(groups={"j*": GroupPolicy(max_tier=WARN)}))
    assert driver.changes()[-1] == driver.changes(account="task")[-1] == (2, 1)
    assert driver.reason() == "its max_tier is Warn"


@pytest.mark.parametrize("cap", InterventionAction)
def test_a_group_comes_to_its_cap_and_no_further(cap: InterventionAction) -> None:
    driver = Driver(quick(groups={"jobs": GroupPolicy(max_tier=cap)}))
    with contextlib.suppress(AssertionError):
        driver.rise_to(InterventionAction(min(3, cap + 1)))
    assert driver.tier() == cap


def test_a_task_has_the_priority_of_its_group_s_pattern_from_its_first_poll(loop_factory: LoopFactory) -> None:
    async def priority() -> tuple[pulse.TaskPriority, int]:
        view = pulse.current()
        return view.priority, view.budget.cpu_us

    async def main() -> list[tuple[pulse.TaskPriority, int]]:
        seen = [
            await pulse.spawn(priority(), group="GET /report"),
            await pulse.spawn(priority(), group="GET /other"),
            await pulse.spawn(priority(), group="GET /report", priority=pulse.TaskPriority.HIGH),
        ]
        pulse.get_manager().update_config(TierConfig(groups={"*": GroupPolicy(priority=pulse.TaskPriority.CRITICAL)}))
        return [*seen, await pulse.spawn(priority(), group="GET /report")]

    low = TierConfig(groups={"GET /rep*": GroupPolicy(priority=pulse.TaskPriority.LOW)})
    assert pulse.run(main(), config=low, loop_factory=loop_factory) == [
        (pulse.TaskPriority.LOW, 1000),
        (pulse.TaskPriority.NORMAL, 2000),
        (pulse.TaskPriority.HIGH, 4000),
        (pulse.TaskPriority.CRITICAL, 8000),
    ]


def test_a_task_s_own_cap_holds_though_its_group_is_higher(loop_factory: LoopFactory) -> None:
    async def offend_until(over: asyncio.Event) -> int:
        view = pulse.current()
        while not over.is_set():
            # Longer than the latency target: others wait beyond it.
            end = time.thread_time() + 0.03
            while time.thread_time() < end:
                pass
            await asyncio.sleep(0)
        return view.tier

    async def main() -> list[int]:
        manager, over = pulse.get_manager(), asyncio.Event()
        events = manager.events()
        tasks = [
            pulse.spawn(offend_until(over), group="jobs"),
            pulse.spawn(offend_until(over), group="jobs", max_tier=1),
        ]
        async with asyncio.timeout(30):
            async for change in events:
                if (change.account, change.after) == ("group", YIELD):
                    break
        # The account of its own does not go further either.
        assert sum(change.account == "task" and change.after > WARN for change in manager.audit()) <= 1
        infos = {info.name: info.tier for info in manager.tasks()}
        assert [infos[task.get_name()] for task in tasks] == [YIELD, WARN]
        over.set()
        return await asyncio.gather(*tasks)

    assert pulse.run(main(), config=quick(promotion_window_ms=1000), loop_factory=loop_factory) == [2, 1]


# Live tasks.


def test_tasks_are_listed_with_what_is_known_of_them(loop_factory: LoopFactory) -> None:
    async def work() -> None:
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            pass
        await asyncio.sleep(60)

    async def main() -> None:
        manager = pulse.get_manager()
        task = pulse.spawn(work(), name="the worker", group="jobs", priority=pulse.TaskPriority.LOW)
        new = asyncio.create_task(work())
        [unborn] = [info for info in manager.tasks() if info.name == new.get_name()]
        assert (unborn.group, unborn.polls, unborn.tier) == ("", 0, 0)
        new.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        [info] = [info for info in manager.tasks() if info.name == "the worker"]
        assert (info.coroutine, info.group, info.explicit_group) == (work.__qualname__, "jobs", True)
        assert (info.priority, info.tier, info.polls, info.violations, info.slow_polls) == (3, 1, 1, 1, 1)
        assert info.tier_reason.endswith("ms of CPU beyond the budget within 1000 ms (limit 100)")
        assert info.wall_time_ns >= info.cpu_time_ns > 0
        task.cancel()

    loop = loop_factory()
    manager = pulse.install(loop=loop)
    loop.run_until_complete(main())
    loop.close()
    assert manager.tasks() == ()


def test_a_manager_without_a_loop_knows_no_tasks() -> None:
    assert Driver().manager.tasks() == ()


# The circuit breaker, and the machine at fault.


def breaker_of(driver: Driver) -> tuple[str, int, int]:
    [group] = [group for group in driver.manager.groups() if group.name == "jobs"]
    return group.breaker, group.breaker_trips, driver.manager.report().loop_tiers[0].open_breakers


def test_a_group_that_parking_makes_wait_too_long_is_only_observed(caplog: pytest.LogCaptureFixture) -> None:
    driver = Driver()
    decisions = driver.manager._decisions
    decisions.on_releases("jobs", 1, 1, 6000, _core.monotonic_ns())
    driver.rise_to(YIELD)
    assert driver.would_park() == 0
    for _ in range(2):
        decisions.on_releases("jobs", 1, 1, 6000, _core.monotonic_ns())
    assert driver.would_park() == 10
    assert breaker_of(driver) == ("open", 1, 1)
    [record] = [record for record in caplog.records if "only observed" in record.message]
    assert "its tasks waited for 6000 ms (park_breaker_ms is 5000)" in record.message


def test_another_configuration_resets_the_breaker() -> None:
    driver = Driver()
    driver.rise_to(YIELD)
    driver.manager._decisions.on_releases("jobs", 1, 1, 6000, _core.monotonic_ns())
    assert breaker_of(driver) == ("open", 1, 1)
    driver.manager.update_config(quick())
    assert breaker_of(driver) == ("closed", 0, 0)
    assert driver.would_park() == 0


def test_the_breaker_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "OPEN_NS", 1)
    driver = Driver()
    driver.rise_to(YIELD)
    decisions = driver.manager._decisions
    decisions.on_releases("jobs", 1, 1, 6000, _core.monotonic_ns())
    # As soon as anything is decided about it, or it is looked at.
    assert breaker_of(driver) == ("half-open", 1, 0)
    assert driver.would_park() == 0
    decisions.on_releases("jobs", breaker.TRIAL_RELEASES, 0, 10, _core.monotonic_ns())
    assert breaker_of(driver) == ("closed", 1, 0)


def test_when_most_groups_offend_the_machine_is_at_fault(caplog: pytest.LogCaptureFixture) -> None:
    driver = Driver(TierConfig())
    names = [f"group {number}" for number in range(5)]
    for name in names:
        driver.poll(0, name)
    for name in names:
        driver.offend(name)
    # `others`, who look on, are a group too: the fourth is more than half of six.
    assert [driver.tier(name) for name in names] == [1, 1, 1, 1, 0]
    assert driver.manager.report().loop_tiers[0].promotion_frozen
    assert driver.reason(names[-1]).endswith("promotion is frozen: the machine is at fault")
    [record] = [record for record in caplog.records if "at fault" in record.message and "half" in record.message]
    assert record.message.partition(": ")[2].startswith(
        "more than half of the 6 active groups were promoted within 1000 ms"
    )


# Faults.


def wait_until_idle(method: str) -> None:
    """Let accounts be idle, if that is what is to be told: afterwards no good poll would be."""
    if method == "on_idle":
        time.sleep(0.12)


@pytest.mark.parametrize("method", ["on_bad_poll", "on_good_polls", "on_idle", "on_new_group"])
def test_ctrl_c_during_a_decision_is_not_lost(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(quick(idle_decay_ms=100, tier_policies=QUICK_DOWN))
    driver.rise_to(WARN)
    wait_until_idle(method)
    original = getattr(TierDecisions, method)
    interrupts = [KeyboardInterrupt]

    def interrupted(*arguments: Any) -> None:
        if interrupts:
            raise interrupts.pop()
        original(*arguments)

    received: list[int] = []
    earlier = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        monkeypatch.setattr(TierDecisions, method, interrupted)
        for number in range(3):
            driver.poll(0.01)
            driver.offend(f"new {number}")
    finally:
        signal.signal(signal.SIGINT, earlier)
    assert received == [signal.SIGINT]
    # The decisions are still there.
    driver.offend("last")
    assert driver.tier("last") == WARN


# Modes, and the end.


def test_off_measures_nothing_and_forgets_nothing() -> None:
    driver = Driver()
    driver.rise_to(WARN)
    polls = driver.manager.get_metrics().polls
    driver.manager.set_mode("off")

    async def main() -> None:
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    manager = pulse.install(TierConfig(mode="off"), loop=loop)
    coro = main()
    task = loop.create_task(coro)
    assert task.get_coro() is coro
    loop.run_until_complete(task)
    assert manager.get_metrics().polls == 0
    manager.set_mode("act")
    loop.run_until_complete(main())
    assert manager.get_metrics().polls == 2
    loop.close()
    assert driver.manager.get_metrics().polls == polls
    driver.manager.set_mode("act")
    driver.poll(0)
    assert (driver.tier(), driver.manager.get_metrics().polls) == (WARN, polls + 1)


def test_a_bad_poll_that_nobody_followed_is_told_at_the_end() -> None:
    async def main() -> None:
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            pass

    loop = asyncio.new_event_loop()
    manager = pulse.install(loop=loop)
    loop.run_until_complete(main())
    pulse.uninstall(loop=loop)
    loop.close()
    assert [(change.account, change.after) for change in manager.audit()] == [("task", 1)]


def test_a_manager_that_is_dropped_is_collected_with_its_decisions() -> None:
    driver = Driver()
    driver.rise_to(WARN)
    driver.poll(BAD_MS)
    gc.collect()
    before = sum(isinstance(each, TierDecisions) for each in gc.get_objects())
    del driver
    gc.collect()
    assert sum(isinstance(each, TierDecisions) for each in gc.get_objects()) == before - 1


def test_a_folded_group_s_account_is_not_that_of_the_next_of_its_name() -> None:
    driver = Driver(quick(max_groups=8))
    driver.poll(BAD_MS, result=PollResult.READY)
    driver.look()
    assert driver.tier() == WARN
    for number in range(20):
        driver.poll(0, f"group {number}", result=PollResult.READY)
    driver.poll(0)
    assert driver.tier() == MONITOR
    driver.manager.update_config(quick(max_groups=8, max_tier=MONITOR))
    assert driver.tier() == MONITOR
