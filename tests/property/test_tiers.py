"""The state machine of tiers: whatever happens, and in whatever order."""

from __future__ import annotations

import dataclasses
import math

from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from asyncio_pulse import TaskPriority, TierConfig
from asyncio_pulse.policy.state_machine import SLOTS, TierStep
from asyncio_pulse.policy.tier_config import InterventionAction, TierPolicy
from asyncio_pulse.policy.tier_policy import BALANCED_TIERS
from tests.support.clocked import NS_PER_MS, Clocked

MONITOR, WARN, YIELD, ISOLATE = InterventionAction
NS_PER_S = 1_000_000_000
LONGEST_SLOT_NS = 1000 * NS_PER_MS // SLOTS

actions = st.sampled_from(InterventionAction)
priorities = st.sampled_from(TaskPriority)
caps = st.none() | actions


@st.composite
def tier_policies(draw: st.DrawFn, window_ms: int) -> tuple[TierPolicy, ...]:
    """Draw tiers whose promotion numbers do not rise, as they must not."""
    numbers = [
        sorted(draw(st.lists(st.integers(1, most), min_size=3, max_size=3)), reverse=True) for most in (30, 300, 30)
    ]
    tiers = []
    for action in InterventionAction:
        promotion = [0, 0, 0] if action is ISOLATE else [number[action] for number in numbers]
        tiers.append(
            dataclasses.replace(
                BALANCED_TIERS[action],
                promotion_threshold=promotion[0],
                promotion_cpu_threshold_ms=promotion[1],
                promotion_slow_poll_threshold=promotion[2],
                demotion_good_polls=draw(st.integers(1, 100)),
                demotion_min_duration_ms=draw(st.integers(window_ms, 5000)),
            )
        )
    return tuple(tiers)


@st.composite
def configs(draw: st.DrawFn) -> TierConfig:
    window_ms = draw(st.sampled_from([10, 100, 1000]))
    return TierConfig(
        max_tier=draw(actions),
        promotion_window_ms=window_ms,
        promotion_share=draw(st.sampled_from([0.0, 0.1, 1.0])),
        promotion_hysteresis_ms=draw(st.integers(0, 1000)),
        demotion_hysteresis_ms=draw(st.integers(0, 5000)),
        violation_rate_threshold=draw(st.sampled_from([1, 5, 20])),
        cooldown_duration_ms=draw(st.sampled_from([0, 1000, 20_000])),
        idle_decay_ms=draw(st.integers(1000, 20_000)),
        tier_policies=draw(tier_policies(window_ms)),
    )


@dataclasses.dataclass(frozen=True)
class Poll:
    """A bad poll, as the model remembers it."""

    at_ns: int
    violation: bool
    hurting_ns: int


class Tiers(RuleBasedStateMachine):
    """One account, and what may be said of it without knowing how the decisions are made."""

    @initialize(config=configs(), priority=priorities, cap=caps)
    def begin(self, config: TierConfig, priority: TaskPriority, cap: InterventionAction | None) -> None:
        self.account = Clocked(config, priority, cap)
        # Since the account came to its tier.
        self.polls: list[Poll] = []
        self.entered_ns = self.last_poll_ns = self.window_since_ns = self.account.now_ns
        self.cooldown_until_ns = 0
        self.second = self.violations_in_second = 0

    @rule(
        ms=st.sampled_from([0, 1, 5, 50, 500]),
        over_ms=st.sampled_from([0, 1, 30, 500]),
        kind=st.sampled_from([(True, False), (False, True), (True, True)]),
        waited=st.booleans(),
        times=st.integers(1, 10),
    )
    def poll_badly(self, ms: int, over_ms: int, kind: tuple[bool, bool], waited: bool, times: int) -> None:
        violation, slow = kind
        for _ in range(times):
            self._begin_poll(ms)
            hurting_ns = over_ms * NS_PER_MS if waited and violation else 0
            self.polls.append(Poll(self.account.now_ns, violation, hurting_ns))
            if violation:
                self._count_for_cooldown()
            steps = len(self.account.steps)
            self.account.bad(after_ms=0, over_ms=over_ms, violation=violation, slow=slow, waited=waited)
            self._check_what_followed(steps, may_fall=False)

    @rule(ms=st.sampled_from([0, 1, 50]), times=st.integers(1, 60))
    def poll_well(self, ms: int, times: int) -> None:
        for _ in range(times):
            self._begin_poll(ms)
            steps = len(self.account.steps)
            self.account.good(after_ms=0)
            self._check_what_followed(steps, may_fall=True)

    @rule()
    def poll_neither_well_nor_badly(self) -> None:
        self._begin_poll(0)
        self.account.mediocre()

    @rule(ms=st.sampled_from([1, 100, 1000, 10_000, 60_000]))
    def wait(self, ms: int) -> None:
        self.account.wait(ms)

    @rule(priority=priorities, cap=caps)
    def change_priority_or_cap(self, priority: TaskPriority, cap: InterventionAction | None) -> None:
        self.account.priority, self.account.max_tier = priority, cap
        self._enforce_cap()

    @rule(config=configs())
    def reconfigure(self, config: TierConfig) -> None:
        self.account.config = config
        self.window_since_ns = self.account.now_ns
        self._enforce_cap()

    @rule(frozen=st.booleans())
    def freeze(self, frozen: bool) -> None:
        self.account.frozen = frozen

    @invariant()
    def it_is_a_tier_within_the_cap(self) -> None:
        assert self.account.tier in InterventionAction
        assert self.account.tier <= self.account.rules.cap

    @invariant()
    def no_violation_is_lost_nor_counted_twice(self) -> None:
        since_ns = self.account.now_ns - self._window_ns
        counted = sum(each.violations for each in self.account.standing.recent if each.at_ns > since_ns)
        times_ns = [poll.at_ns for poll in self.polls if poll.violation]
        # What is counted together is forgotten together, and what a shorter window forgot is not known to a longer one.
        surely_ns = max(since_ns + LONGEST_SLOT_NS, self.window_since_ns)
        surely = sum(at_ns > surely_ns for at_ns in times_ns)
        assert surely <= counted <= sum(at_ns > since_ns for at_ns in times_ns)

    @invariant()
    def its_standing_stays_small(self) -> None:
        # A window that was made longer still holds what was divided more finely.
        assert len(self.account.standing.recent) <= 3 * (SLOTS + 1)

    @property
    def _window_ns(self) -> int:
        return self.account.config.promotion_window_ms * NS_PER_MS

    def _begin_poll(self, ms: int) -> None:
        """Wake the account, as the core does before a poll."""
        self.account.wait(ms)
        steps = len(self.account.steps)
        self.account.wake()
        if len(self.account.steps) > steps:
            self._check_decay()
        self.last_poll_ns = self.account.now_ns

    def _count_for_cooldown(self) -> None:
        config, now_ns = self.account.config, self.account.now_ns
        if now_ns // NS_PER_S != self.second:
            self.second, self.violations_in_second = now_ns // NS_PER_S, 0
        self.violations_in_second += 1
        # Those of the second before count in part, which only makes a cooldown more likely.
        if self.violations_in_second > config.violation_rate_threshold:
            self.cooldown_until_ns = now_ns + config.cooldown_duration_ms * NS_PER_MS

    def _check_what_followed(self, steps: int, *, may_fall: bool) -> None:
        if len(self.account.steps) == steps:
            return
        [(now_ns, step)] = self.account.steps[steps:]
        assert step.reason
        assert (step.after, abs(step.after - step.before)) == (self.account.tier, 1)
        if step.is_promotion:
            self._check_promotion(step, is_first=steps == 0)
        else:
            assert may_fall
            self._check_time_at(step.before, now_ns - self.entered_ns)
        self._enter_tier(now_ns)

    def _check_promotion(self, step: TierStep, *, is_first: bool) -> None:
        now_ns, config = self.account.now_ns, self.account.config
        assert not self.account.frozen
        assert is_first or now_ns - self.entered_ns >= config.promotion_hysteresis_ms * NS_PER_MS
        if step.before >= WARN:
            hurting_ns = sum(poll.hurting_ns for poll in self.polls if poll.at_ns > now_ns - self._window_ns)
            assert hurting_ns > 0
            assert hurting_ns / self._window_ns >= config.promotion_share

    def _check_time_at(self, tier: InterventionAction, held_ns: int) -> None:
        config = self.account.config
        assert held_ns >= config.tier_policies[tier].demotion_min_duration_ms * NS_PER_MS
        assert held_ns >= config.demotion_hysteresis_ms * NS_PER_MS
        assert self.account.now_ns >= self.cooldown_until_ns

    def _check_decay(self) -> None:
        now_ns, step = self.account.steps[-1]
        config = self.account.config
        assert not step.is_promotion
        assert now_ns - self.last_poll_ns >= (step.before - step.after) * config.idle_decay_ms * NS_PER_MS
        self._check_time_at(step.before, now_ns - self.entered_ns)
        # When it came to where it is now was never in the future, and never before it was idle.
        assert self.last_poll_ns < self.account.standing.entered_ns <= now_ns
        self._enter_tier(self.account.standing.entered_ns)

    def _enforce_cap(self) -> None:
        steps = len(self.account.steps)
        self.account.enforce_cap()
        if len(self.account.steps) > steps:
            assert self.account.tier is self.account.rules.cap
            self._enter_tier(self.account.now_ns)

    def _enter_tier(self, now_ns: int) -> None:
        self.entered_ns = now_ns
        self.polls.clear()


TestTiers = Tiers.TestCase


@given(config=configs(), priority=priorities, waits_ms=st.lists(st.integers(0, 20_000), max_size=50))
def test_a_good_task_never_leaves_monitor(config: TierConfig, priority: TaskPriority, waits_ms: list[int]) -> None:
    account = Clocked(config, priority)
    for ms in waits_ms:
        account.wait(ms)
        account.wake()
        account.good()
    assert account.steps == []


@given(config=configs(), priority=priorities, cap=caps, over_ms=st.integers(0, 500), ms=st.integers(1, 50))
def test_an_offender_that_does_not_hurt_never_goes_beyond_warn(
    config: TierConfig, priority: TaskPriority, cap: InterventionAction | None, over_ms: int, ms: int
) -> None:
    account = Clocked(config, priority, cap)
    account.bad(200, over_ms=over_ms, after_ms=ms, slow=True, waited=False)
    assert account.tier <= WARN


@given(config=configs(), priority=priorities, cap=caps, ms=st.integers(1, 5))
def test_a_constant_offender_that_hurts_reaches_its_cap_in_the_time_that_the_policy_implies(
    config: TierConfig, priority: TaskPriority, cap: InterventionAction | None, ms: int
) -> None:
    # GIVEN a poll every few ms that is over its budget for longer than a window, so that one of them hurts enough
    account = Clocked(config, priority, cap)
    # THEN each step takes as many polls as the policy wants, or the hysteresis, and one poll at most to see that it is over
    over_ms = config.promotion_window_ms
    need_ns = 0
    for tier in range(account.rules.cap):
        policy = config.tier_policies[tier]
        limits = (
            max(1.0, policy.promotion_threshold * account.rules.multiplier),
            max(1.0, policy.promotion_cpu_threshold_ms * account.rules.multiplier) / over_ms,
            max(1.0, policy.promotion_slow_poll_threshold * account.rules.multiplier),
        )
        polls = math.ceil(min(limits))
        assume(polls * ms < config.promotion_window_ms * (1 - 1 / SLOTS))
        hysteresis_ms = config.promotion_hysteresis_ms if tier > MONITOR else 0
        need_ns += (max(polls * ms, hysteresis_ms) + ms) * NS_PER_MS
    begin_ns = account.now_ns
    while account.now_ns - begin_ns < need_ns:
        account.bad(over_ms=over_ms, after_ms=ms, slow=True)
    assert account.tier is account.rules.cap


@given(config=configs(), cap=actions)
def test_an_idle_account_comes_down_to_monitor(config: TierConfig, cap: InterventionAction) -> None:
    account = Clocked(config, max_tier=cap)
    account.bad(200, over_ms=5000, after_ms=50, slow=True)
    account.wait(3 * (config.idle_decay_ms + 5000) + config.cooldown_duration_ms)
    account.wake()
    assert account.tier is MONITOR


@given(number=st.integers(1, 1000), priority=priorities, over_ms=st.integers(1, 20))
def test_a_priority_escalates_at_its_share_of_each_number(number: int, priority: TaskPriority, over_ms: int) -> None:
    # GIVEN a window in which everything happens at once, and the same number for violations and slow polls
    first = dataclasses.replace(
        BALANCED_TIERS[MONITOR],
        promotion_threshold=number,
        promotion_cpu_threshold_ms=number,
        promotion_slow_poll_threshold=number,
    )
    low = [
        dataclasses.replace(tier, promotion_threshold=1, promotion_cpu_threshold_ms=1, promotion_slow_poll_threshold=1)
        for tier in BALANCED_TIERS[1:]
    ]
    limit = max(1.0, number * (0.25, 0.5, 1.0, 2.0)[priority])
    kinds = ((True, 0.0, limit), (True, float(over_ms), limit / max(1, over_ms)), (False, 0.0, limit))
    for violation, over, polls in kinds:
        account = Clocked(TierConfig(tier_policies=(first, *low)), priority)
        account.bad(math.ceil(polls) - 1, violation=violation, slow=not violation, over_ms=over, after_ms=0)
        assert account.tier is MONITOR
        account.bad(1, violation=violation, slow=not violation, over_ms=over, after_ms=0)
        assert account.tier is WARN
