"""The state machine of tiers: each rule by itself."""

from __future__ import annotations

import itertools

import pytest

from asyncio_pulse import TaskPriority, TierConfig
from asyncio_pulse.policy.machine_fault import MachineFault
from asyncio_pulse.policy.state_machine import SLOTS, BadPoll, Rules, Standing, on_bad_poll
from asyncio_pulse.policy.tier_config import InterventionAction, TierPolicyBuilder
from asyncio_pulse.policy.tier_policy import BALANCED_TIERS
from tests.support.clocked import NS_PER_MS, Clocked

MONITOR, WARN, YIELD, ISOLATE = InterventionAction
PRIORITIES = {TaskPriority.CRITICAL: 0.25, TaskPriority.HIGH: 0.5, TaskPriority.NORMAL: 1.0, TaskPriority.LOW: 2.0}


def at(tier: InterventionAction, **options: object) -> Clocked:
    """Give an account that has just come to a tier, and may reach all."""
    account = Clocked(max_tier=ISOLATE, **options)  # type: ignore[arg-type]
    account.rise_to(tier)
    return account


def polls_until_warned(account: Clocked, **kind: object) -> int:
    polls = 0
    while account.tier is MONITOR:
        account.bad(**kind)  # type: ignore[arg-type]
        polls += 1
    return polls


# Priorities.


def test_a_critical_poll_may_use_8000_us_and_a_low_one_1000() -> None:
    assert [TierConfig().budget_for(priority).cpu_us for priority in TaskPriority] == [8000, 4000, 2000, 1000]


@pytest.mark.parametrize(("priority", "multiplier"), PRIORITIES.items())
def test_every_number_is_multiplied_by_the_priority(priority: TaskPriority, multiplier: float) -> None:
    config = TierConfig(
        tier_policies=(
            TierPolicyBuilder(MONITOR).promotion_violations(40).promotion_cpu_ms(4000).promotion_slow_polls(80).build(),
            *BALANCED_TIERS[1:],
        )
    )
    assert polls_until_warned(Clocked(config, priority), over_ms=0) == 40 * multiplier
    assert polls_until_warned(Clocked(config, priority), over_ms=200) == 20 * multiplier
    assert polls_until_warned(Clocked(config, priority), violation=False, slow=True) == 80 * multiplier


def test_no_number_is_multiplied_to_less_than_one() -> None:
    first = TierPolicyBuilder(MONITOR).promotion_violations(100).promotion_cpu_ms(1).promotion_slow_polls(100).build()
    rest = [
        TierPolicyBuilder(tier).promotion_cpu_ms(1).promotion_violations(1).promotion_slow_polls(1).build()
        for tier in BALANCED_TIERS[1:3]
    ]
    config = TierConfig(tier_policies=(first, *rest, BALANCED_TIERS[3]))
    # A quarter of a millisecond is not enough for what is critical, and a whole one is not for what is low.
    assert polls_until_warned(Clocked(config, TaskPriority.CRITICAL), over_ms=0.375) == 3
    assert polls_until_warned(Clocked(config, TaskPriority.LOW), over_ms=0.375) == 6


# Up.


@pytest.mark.parametrize(
    ("kind", "polls"),
    [({"over_ms": 0.1}, 5), ({"over_ms": 25}, 2), ({"violation": False, "slow": True}, 10)],
    ids=["violations", "CPU", "slow polls"],
)
def test_each_number_promotes(kind: dict[str, object], polls: int) -> None:
    assert polls_until_warned(Clocked(), **kind) == polls


def test_what_lies_outside_the_window_does_not_count() -> None:
    account = Clocked()
    account.bad(4, after_ms=1)
    account.bad(4, after_ms=997)
    assert account.tier is MONITOR
    account.bad(1, after_ms=1)
    assert account.tier is MONITOR
    account.bad(3, after_ms=1)
    assert account.tier is WARN


def test_what_led_to_a_tier_does_not_lead_beyond_it() -> None:
    account = Clocked()
    account.bad(5, over_ms=8)
    account.wait(200)
    assert account.tier is WARN
    account.bad(2, over_ms=8)
    assert account.tier is WARN


def test_it_goes_up_one_step_at_a_time() -> None:
    account = at(MONITOR)
    account.bad(over_ms=100_000, slow=True)
    assert account.tier is WARN
    account.bad(over_ms=100_000, slow=True, after_ms=200)
    assert account.tier is YIELD
    account.bad(over_ms=100_000, slow=True, after_ms=200)
    assert account.tier is ISOLATE
    account.bad(over_ms=100_000, slow=True, after_ms=200)
    assert [step.after for _, step in account.steps] == [WARN, YIELD, ISOLATE]


def test_a_promotion_that_is_too_soon_is_pending_and_comes_with_a_good_poll() -> None:
    account = at(WARN)
    account.bad(over_ms=500, after_ms=10)
    assert (account.tier, account.standing.pending) == (WARN, True)
    account.good(after_ms=80)
    assert account.tier is WARN
    account.good(after_ms=10)
    assert (account.tier, account.standing.pending) == (YIELD, False)


def test_a_pending_promotion_is_dropped_if_it_holds_no_longer() -> None:
    account = at(WARN)
    account.bad(over_ms=500, after_ms=10)
    account.good(after_ms=1001)
    assert (account.tier, account.standing.pending) == (WARN, False)


def test_a_pending_promotion_waits_for_no_other_reason_than_its_own() -> None:
    account = at(WARN)
    account.bad(over_ms=500, after_ms=10)
    account.max_tier = WARN
    account.good(after_ms=100)
    assert (account.tier, account.standing.pending) == (WARN, False)


# It must hurt.


def test_an_offender_that_hurts_nobody_stays_at_warn() -> None:
    account = at(WARN)
    account.bad(50, over_ms=100, after_ms=110, waited=False)
    assert account.tier is WARN
    assert account.standing.reason.endswith("but no other task waited for its CPU time")


def test_an_offender_that_hurts_little_stays_at_warn() -> None:
    # GIVEN a violation of 0.9 ms every 10 ms: 9 % of the time, less than the promotion share
    account = at(WARN)
    account.bad(1000, over_ms=0.9, after_ms=10)
    assert account.tier is WARN
    assert (
        "other tasks waited for it for 8." in account.standing.reason
        or "other tasks waited for it for 9.0%" in account.standing.reason
    )


def test_an_offender_that_hurts_enough_goes_beyond_warn() -> None:
    account = at(WARN)
    account.bad(100, over_ms=1.1, after_ms=10)
    assert account.tier is YIELD


def test_only_the_share_counts_for_which_others_waited() -> None:
    account = at(WARN)
    for _ in range(200):
        account.bad(over_ms=4, after_ms=50, waited=True)
        account.bad(over_ms=400, after_ms=50, waited=False)
    # 4 ms each 100 ms are too little to hurt.
    assert account.tier is WARN


def rules_under(pressure: float, *, is_first: bool = True) -> Rules:
    return Rules(TierConfig(), cap=ISOLATE, pressure=pressure, is_first=is_first)


@pytest.mark.parametrize(("pressure", "tier"), [(0.09, WARN), (0.11, YIELD)])
def test_whoever_makes_them_wait_the_loop_decides_whether_it_hurts(pressure: float, tier: InterventionAction) -> None:
    # GIVEN an account that uses 3 % of the time beyond its budgets
    standing = Standing(entered_ns=0, last_poll_ns=0, tier=WARN)
    for number in range(100):
        poll = BadPoll(violation=True, slow=False, over_budget_ns=3_000_000, others_waited=True)
        on_bad_poll(standing, poll, rules_under(pressure), number * 100_000_000)
        if standing.tier is YIELD:
            break
    assert standing.tier is tier
    if tier is WARN:
        assert standing.reason.endswith(
            "but others waited beyond the latency target for 9.0% of the time, less than promotion_share (10%)"
        )


def test_whoever_uses_less_than_another_waits_for_its_turn() -> None:
    standing = Standing(entered_ns=0, last_poll_ns=0, tier=WARN)
    poll = BadPoll(violation=True, slow=False, over_budget_ns=500_000_000, others_waited=True)
    assert on_bad_poll(standing, poll, rules_under(0.9, is_first=False), 1) is None
    assert standing.reason.endswith("but another task or group uses more")
    assert on_bad_poll(standing, poll, rules_under(0.9), 2) is not None


def test_a_share_of_nothing_still_asks_that_somebody_waited() -> None:
    account = at(WARN, config=TierConfig(promotion_share=0.0))
    account.bad(100, over_ms=10, after_ms=10, waited=False)
    assert account.tier is WARN
    account.bad(1, over_ms=0.1, after_ms=10)
    assert account.tier is YIELD


# The window stays small and true.


def test_many_bad_polls_keep_their_counts() -> None:
    # GIVEN as many bad polls as there are milliseconds in the window, far more than it has slots
    account = Clocked(max_tier=MONITOR)
    account.bad(1000, over_ms=0.5, after_ms=1)
    assert len(account.standing.recent) <= SLOTS + 1
    counts = [(each.violations, each.over_budget_ns, each.hurting_ns) for each in account.standing.recent]
    slot = 1000 / SLOTS
    for total, each in zip(map(sum, zip(*counts, strict=True)), (1, 500_000, 500_000), strict=True):
        assert (1000 - slot - 1) * each <= total <= 1000 * each


def test_many_bad_polls_are_forgotten_with_the_window() -> None:
    account = Clocked(max_tier=MONITOR)
    account.bad(10_000, over_ms=0.5, after_ms=1)
    assert sum(each.violations for each in account.standing.recent) <= 1000


def test_all_of_a_burst_at_one_moment_is_counted() -> None:
    account = Clocked(max_tier=MONITOR)
    account.bad(1000, after_ms=0)
    [entry] = account.standing.recent
    assert entry.violations == 1000


# Down.


def test_it_comes_down_after_good_polls_in_a_row() -> None:
    account = at(WARN)
    account.wait(5000)
    account.good(74)
    assert account.tier is WARN
    account.good(1)
    assert account.tier is MONITOR
    account.good(1000, after_ms=100)
    assert [step.after for _, step in account.steps] == [WARN, MONITOR]


def test_one_step_down_at_a_time_each_with_its_own_numbers() -> None:
    account = at(ISOLATE)
    account.good(100_000, after_ms=1)
    assert [step.after for _, step in account.steps][3:] == [YIELD, WARN, MONITOR]
    times = [at_ns / NS_PER_MS for at_ns, _ in account.steps]
    held = [after - before for before, after in itertools.pairwise(times[2:])]
    assert held == pytest.approx([10_000, 2_000, 3_000], abs=1)


@pytest.mark.parametrize("spoil", [Clocked.bad, Clocked.mediocre])
def test_one_poll_that_is_not_good_breaks_the_row(spoil: object) -> None:
    account = at(WARN)
    account.good(200)
    spoil(account)  # type: ignore[operator]
    account.wait(5000)
    account.good(74)
    assert account.tier is WARN
    account.good(1)
    assert account.tier is MONITOR


def test_it_stays_its_least_time_at_a_tier() -> None:
    account = at(WARN)
    account.good(290, after_ms=10)
    assert account.tier is WARN
    account.good(10, after_ms=10)
    assert account.tier is MONITOR


def test_a_step_down_waits_for_the_demotion_hysteresis() -> None:
    account = at(WARN, config=TierConfig(demotion_hysteresis_ms=20_000))
    account.good(1999, after_ms=10)
    assert account.tier is WARN
    account.good(1, after_ms=10)
    assert account.tier is MONITOR


def test_more_violations_a_second_than_allowed_forbid_a_step_down() -> None:
    # GIVEN a least time that has long passed, and a cooldown that is far longer than what good polls take
    account = at(WARN, config=TierConfig(cooldown_duration_ms=60_000))
    account.wait(10_000)
    account.bad(40, over_ms=0.1, after_ms=50, waited=False)
    account.good(590, after_ms=100)
    assert account.tier is WARN
    account.good(11, after_ms=100)
    assert account.tier is MONITOR


def test_no_more_violations_than_allowed_do_not_forbid_it() -> None:
    account = at(WARN, config=TierConfig(cooldown_duration_ms=60_000))
    account.wait(10_000)
    account.bad(40, over_ms=0.1, after_ms=125, waited=False)
    account.good(75, after_ms=1)
    assert account.tier is MONITOR


def test_polls_that_block_count_by_their_length() -> None:
    # Not ten of them fit into a window: one of 100 ms or two of 60 weigh as much as ten that are just slow.
    for wall_ms, times in ((99, 2), (100, 1), (60, 2), (300, 1)):
        account = at(MONITOR)
        account.bad(times - 1, violation=False, slow=True, wall_ms=wall_ms, after_ms=250)
        assert account.tier is MONITOR
        account.bad(violation=False, slow=True, wall_ms=wall_ms, after_ms=250)
        assert account.tier is WARN
    assert "300 ms of slow polls within 1000 ms (limit 100)" in account.standing.reason


def test_long_polls_that_were_not_their_own_doing_do_not_count() -> None:
    account = at(MONITOR)
    account.bad(3, violation=True, slow=False, wall_ms=900, over_ms=1)
    assert account.tier is MONITOR


def test_slow_polls_that_are_no_violations_begin_no_cooldown() -> None:
    account = at(WARN, config=TierConfig(cooldown_duration_ms=60_000))
    account.wait(10_000)
    account.bad(40, violation=False, slow=True, after_ms=1, waited=False)
    account.good(75, after_ms=1)
    assert account.tier is MONITOR


# Idle.


def test_an_idle_account_comes_down_a_step_each_time() -> None:
    account = at(ISOLATE)
    account.wait(9_999)
    account.wake()
    assert account.tier is ISOLATE
    account.wait(1)
    account.wake()
    assert account.tier is YIELD
    account.wait(10_000)
    account.wake()
    assert account.tier is WARN


def test_an_idle_account_comes_down_no_faster_the_more_often_somebody_looks() -> None:
    account = at(ISOLATE)
    account.wait(10_000)
    tiers = []
    for _ in range(20):
        account.wake()
        tiers.append(account.tier)
        account.wait(1_000)
    assert tiers == [YIELD] * 10 + [WARN] * 10


def test_an_account_that_was_idle_for_long_comes_down_all_at_once() -> None:
    account = at(ISOLATE)
    account.wait(30_000)
    account.wake()
    assert account.tier is MONITOR
    [(_, step)] = account.steps[3:]
    assert (step.before, step.after, step.is_promotion) == (ISOLATE, MONITOR, False)
    assert step.reason == "idle for 30 s"


@pytest.mark.parametrize(
    "config",
    [
        TierConfig(idle_decay_ms=1000, cooldown_duration_ms=60_000, violation_rate_threshold=1),
        TierConfig(idle_decay_ms=1000, demotion_hysteresis_ms=60_000),
        TierConfig(
            idle_decay_ms=1000,
            tier_policies=(
                BALANCED_TIERS[0],
                TierPolicyBuilder(WARN).demotion_min_duration_ms(60_000).build(),
                *BALANCED_TIERS[2:],
            ),
        ),
    ],
    ids=["cooldown", "hysteresis", "least time"],
)
def test_idleness_does_not_bring_it_down_before_its_time(config: TierConfig) -> None:
    account = at(WARN, config=config)
    account.bad(3, waited=False, after_ms=0)
    account.wait(59_999)
    account.wake()
    assert account.tier is WARN
    account.wait(1)
    account.wake()
    assert account.tier is MONITOR


# Caps.


def test_the_cap_is_the_configuration_s_and_warn_for_what_is_critical() -> None:
    config = TierConfig(max_tier=ISOLATE)
    assert Rules.of(config, TaskPriority.NORMAL).cap is ISOLATE
    assert Rules.of(config, TaskPriority.CRITICAL).cap is WARN
    assert Rules.of(config, TaskPriority.CRITICAL, YIELD).cap is YIELD
    assert Rules.of(TierConfig(), TaskPriority.HIGH).cap is YIELD
    assert Rules.of(TierConfig(max_tier=MONITOR), TaskPriority.CRITICAL).cap is MONITOR


@pytest.mark.parametrize("cap", InterventionAction)
def test_nobody_goes_beyond_the_cap(cap: InterventionAction) -> None:
    account = Clocked(max_tier=cap)
    account.bad(1000, over_ms=100, slow=True, after_ms=100)
    assert account.tier is cap
    if cap is not ISOLATE:
        assert account.standing.reason.endswith(f"but its max_tier is {cap.name.title()}")


def test_a_lowered_cap_brings_it_down_at_once() -> None:
    account = at(ISOLATE)
    account.max_tier = WARN
    account.enforce_cap()
    [(_, step)] = account.steps[3:]
    assert (step.before, step.after, step.reason) == (ISOLATE, WARN, "its max_tier is Warn")
    account.enforce_cap()
    assert len(account.steps) == 4


# The machine at fault.


def test_nobody_is_promoted_while_promotion_is_frozen() -> None:
    account = Clocked()
    account.frozen = True
    account.bad(100, over_ms=100)
    assert account.tier is MONITOR
    assert account.standing.reason.endswith("but promotion is frozen: the machine is at fault")
    account.frozen = False
    account.bad(1)
    assert account.tier is WARN


def freeze(promotions: int, active: int, *, config: TierConfig | None = None) -> MachineFault:
    machine = MachineFault()
    for number in range(promotions):
        machine.on_promotion(f"group {number}", active, config or TierConfig(), number * NS_PER_MS)
    return machine


def test_more_than_half_of_the_active_groups_freeze_promotion() -> None:
    assert not freeze(5, 10).is_frozen(5 * NS_PER_MS)
    assert freeze(6, 10).is_frozen(5 * NS_PER_MS)


def test_a_freeze_ends_after_a_window() -> None:
    machine = freeze(6, 10)
    assert machine.is_frozen((5 + 999) * NS_PER_MS)
    assert not machine.is_frozen((5 + 1000) * NS_PER_MS)


def test_only_the_promotion_that_begins_a_freeze_tells_of_it() -> None:
    machine = MachineFault()
    told = [machine.on_promotion(str(number), 4, TierConfig(), number) for number in range(4)]
    assert told == [False, False, True, False]


def test_promotions_further_apart_than_a_window_do_not_freeze() -> None:
    machine = MachineFault()
    assert not any(
        machine.on_promotion(str(number), 10, TierConfig(), number * 250 * NS_PER_MS) for number in range(10)
    )


def test_one_group_alone_does_not_count_twice() -> None:
    machine = MachineFault()
    assert not any(machine.on_promotion("again", 5, TierConfig(), number) for number in range(10))


def test_few_groups_do_not_freeze() -> None:
    assert not freeze(3, 3).is_frozen(3 * NS_PER_MS)
    assert freeze(3, 3, config=TierConfig(freeze_min_groups=2)).is_frozen(3 * NS_PER_MS)


# What is said.


def test_reasons_are_readable() -> None:
    account = at(MONITOR)
    assert account.standing.reason == ""
    account.bad(5, over_ms=2)
    assert account.standing.reason == "5 violations within 1000 ms (limit 5)"
    account.bad(1, over_ms=150, after_ms=200)
    assert account.standing.reason == "150 ms of CPU beyond the budget within 1000 ms (limit 25)"
    account.bad(3, violation=False, slow=True, after_ms=50)
    assert account.standing.reason == (
        "3 slow polls within 1000 ms (limit 3), but no other task waited for its CPU time"
    )
    account.wait(5000)
    account.good(50)
    assert account.standing.reason == "50 good polls in a row"
