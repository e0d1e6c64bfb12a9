"""The configuration of a governed loop: frozen, and valid by construction."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, TypeAlias

from asyncio_pulse.errors import ConfigFault
from asyncio_pulse.policy.budget import OPERATION_BUDGET, POLL_BUDGET_US, TaskBudget
from asyncio_pulse.policy.builder import TierPolicyBuilder
from asyncio_pulse.policy.group_policy import (
    NO_POLICY,
    PREEMPT_MODES,
    GroupPolicies,
    GroupPolicy,
    Preempt,
    groups_faults,
)
from asyncio_pulse.policy.priority import TaskPriority
from asyncio_pulse.policy.ranges import (
    Choice,
    Named,
    Packages,
    Range,
    Setting,
    Share,
    must_be,
    refuse,
    setting_faults,
)
from asyncio_pulse.policy.slow_queue import SlowQueueConfig
from asyncio_pulse.policy.target import DERIVED, LATENCY_TARGET_MS, Derived, derive
from asyncio_pulse.policy.tier_policy import (
    BALANCED_TIERS,
    InterventionAction,
    TierPolicy,
    check_action,
)

__all__ = [
    "SETTINGS",
    "GroupPolicy",
    "InterventionAction",
    "Mode",
    "TierConfig",
    "TierPolicy",
    "TierPolicyBuilder",
    "config_faults",
]

Mode: TypeAlias = Literal["off", "observe", "act"]
"""What a manager does: nothing; decide and count what it would do; intervene."""

PreemptThroughC: TypeAlias = Literal["off", "iteration"]
"""Which C code may stand between a task and its suspended part: none, or code that iterates over a generator."""

SETTINGS: Mapping[str, Setting] = {
    "latency_target_ms": LATENCY_TARGET_MS,
    "poll_budget_us": POLL_BUDGET_US,
    "operation_budget": OPERATION_BUDGET,
    "slow_poll_threshold_ms": Range(10, 1, 60_000),
    "stall_threshold_ms": Range(100, 10, 600_000),
    "turn_limit_ms": Range(20, 0, 60_000),
    # 2.2 KiB each. An operator cannot read more names than this; further ones are counted together.
    "max_groups": Range(1_024, 8, 65_536),
    # One reading of the CPU clock costs about 200 ns: at most 0.1 % of the time at 200 us.
    "cpu_sample_interval_us": Range(200, 10, 100_000),
    "mode": Choice("act", ("off", "observe", "act")),
    "max_tier": Named(InterventionAction.YIELD),
    "rollout_ratio": Share(1.0),
    # Below 10 ms a window holds too few polls to tell an offender from an accident.
    "promotion_window_ms": Range(1_000, 10, 600_000),
    "promotion_share": Share(0.10),
    "promotion_hysteresis_ms": Range(100, 0, 600_000),
    "demotion_hysteresis_ms": Range(500, 0, 3_600_000),
    "violation_rate_threshold": Range(10, 1, 100_000),
    "cooldown_duration_ms": Range(1_000, 0, 3_600_000),
    "idle_decay_ms": Range(10_000, 100, 86_400_000),
    "audit_size": Range(1_024, 16, 1_048_576),
    "warn_interval_ms": Range(1_000, 0, 3_600_000),
    # At least two groups: with one, "more than half" would freeze promotion whenever it offends.
    "freeze_min_groups": Range(4, 2, 65_536),
    "park_breaker_ms": Range(5_000, 10, 3_600_000),
    "preempt": Choice("waits", PREEMPT_MODES),
    "preemptible_modules": Packages(()),
    "preempt_through_c": Choice("off", ("off", "iteration")),
}
"""Every setting except the tables of tiers, groups and the slow queue."""


_SLOW_QUEUE = SlowQueueConfig()
_DEFAULT: Mapping[str, Any] = {
    name: derive(name, LATENCY_TARGET_MS.default) if name in DERIVED else setting.default
    for name, setting in SETTINGS.items()
}


@dataclasses.dataclass(frozen=True, slots=True)
class TierConfig:
    """How a loop is governed.

    Args:
        latency_target_ms: How long a ready callback may wait, milliseconds, 1..60,000. `poll_budget_us` is a tenth of it,
            `slow_poll_threshold_ms` half of it, `stall_threshold_ms` five times as much, and `turn_limit_ms` equal to it,
            unless they are given.
        poll_budget_us: CPU time that one poll of a NORMAL task may use, microseconds, 50..10,000,000.
        operation_budget: Operations that one poll of a NORMAL task may spend at checkpoints, 1..1,000,000.
        slow_poll_threshold_ms: Wall time past which a poll counts as slow, milliseconds, 1..60,000.
        stall_threshold_ms: Time away from the selector after which a loop counts as stalled, whatever runs,
            milliseconds, 10..600,000.
        turn_limit_ms: Time after which a turn of the loop is overlong, milliseconds, 0..60,000. Then tasks whose last poll
            was longer than its budget wait for another turn. 0 sets no limit.
        max_groups: Maximum number of separate groups, 8..65,536. The rest are counted together as `(other)`.
        cpu_sample_interval_us: Maximum age of the last reading of the CPU clock when a poll starts, microseconds,
            10..100,000: the error bound of a poll's CPU time.
        mode: "off"; "observe": decide, and count what would be done; "act": do it.
        max_tier: The highest tier of an account whose group and task set no other one.
        rollout_ratio: Share of the groups on which interventions act, 0..1.
        promotion_window_ms: Time within which a tier's promotion numbers must be reached, milliseconds, 10..600,000.
        promotion_share: Share of that window in which others must have waited beyond `latency_target_ms`, whoever made
            them wait, before an account goes beyond Warn, 0..1.
        promotion_hysteresis_ms: Least time between two steps up, milliseconds, 0..600,000.
        demotion_hysteresis_ms: Least time between any step and a step down, milliseconds, 0..3,600,000.
        violation_rate_threshold: Violations per second above which no step down is allowed, 1..100,000.
        cooldown_duration_ms: How long they forbid a step down, milliseconds, 0..3,600,000.
        idle_decay_ms: Time without a poll after which an account steps down one tier, milliseconds, 100..86,400,000.
        audit_size: Number of entries in the audit ring, 16..1,048,576.
        warn_interval_ms: Least time between two log records for accounts of one name, milliseconds, 0..3,600,000.
            It doubles with each repetition, up to an hour. 0 logs everything.
        freeze_min_groups: Number of active groups from which a fault of the machine is detected, 2..65,536. If more than
            half of the active groups are promoted within a window, promotion freezes.
        park_breaker_ms: Limit on the 99th percentile of a group's waits in the slow queue, milliseconds, 10..3,600,000.
            Beyond it the group's circuit breaker opens: the group is only observed, and tried again after a while.
        preempt: Where tasks are preempted: "off", "waits", "await" or "anywhere". With the default, "waits", a step that
            lasts long is suspended where the program awaits a library, or resumes an asynchronous generator. "await" adds
            awaits of the program's own coroutines, and "anywhere" adds all statements; below Yield, both act like
            "waits". With "off", only tasks that opted in are preempted. A task or its group may set another value; the
            nearest wins, except that "off" of a group is final.
        preemptible_modules: Top-level packages whose code may be preempted, besides the package that opted in and
            the purely computing parts of the standard library. ("*",) allows all packages except those that share
            state, such as asyncio, logging and threading. For await points: installed packages that do not count as
            libraries.
        preempt_through_c: "iteration" also suspends generators that C code iterates over, such as those of `sum` or
            `list`; "off" does not.
        tier_policies: The four tiers, in the order of their actions.
        groups: Policies of explicit groups, by pattern of their name. The first pattern that matches applies.
        slow_queue: How offenders wait, and how much of each turn they get.

    Raises:
        ConfigError: Lists every value that is of the wrong type or out of its range, and every pair of values that
            contradict each other.
    """

    latency_target_ms: int = _DEFAULT["latency_target_ms"]
    poll_budget_us: int = _DEFAULT["poll_budget_us"]
    operation_budget: int = _DEFAULT["operation_budget"]
    slow_poll_threshold_ms: int = _DEFAULT["slow_poll_threshold_ms"]
    stall_threshold_ms: int = _DEFAULT["stall_threshold_ms"]
    turn_limit_ms: int = _DEFAULT["turn_limit_ms"]
    max_groups: int = _DEFAULT["max_groups"]
    cpu_sample_interval_us: int = _DEFAULT["cpu_sample_interval_us"]
    mode: Mode = _DEFAULT["mode"]
    max_tier: InterventionAction = _DEFAULT["max_tier"]
    rollout_ratio: float = _DEFAULT["rollout_ratio"]
    promotion_window_ms: int = _DEFAULT["promotion_window_ms"]
    promotion_share: float = _DEFAULT["promotion_share"]
    promotion_hysteresis_ms: int = _DEFAULT["promotion_hysteresis_ms"]
    demotion_hysteresis_ms: int = _DEFAULT["demotion_hysteresis_ms"]
    violation_rate_threshold: int = _DEFAULT["violation_rate_threshold"]
    cooldown_duration_ms: int = _DEFAULT["cooldown_duration_ms"]
    idle_decay_ms: int = _DEFAULT["idle_decay_ms"]
    audit_size: int = _DEFAULT["audit_size"]
    warn_interval_ms: int = _DEFAULT["warn_interval_ms"]
    freeze_min_groups: int = _DEFAULT["freeze_min_groups"]
    park_breaker_ms: int = _DEFAULT["park_breaker_ms"]
    preempt: Preempt = _DEFAULT["preempt"]
    preemptible_modules: tuple[str, ...] = _DEFAULT["preemptible_modules"]
    preempt_through_c: PreemptThroughC = _DEFAULT["preempt_through_c"]
    tier_policies: tuple[TierPolicy, ...] = BALANCED_TIERS
    groups: Mapping[str, GroupPolicy] = GroupPolicies({})
    slow_queue: SlowQueueConfig = _SLOW_QUEUE

    def __post_init__(self) -> None:
        """Refuse values that are out of range or contradict each other; store the rest in normal form."""
        scalars = {name: getattr(self, name) for name in SETTINGS}
        faults = [*_tiers_faults(self.tier_policies), *groups_faults(self.groups)]
        tiers = () if faults else tuple(self.tier_policies)
        refuse("configuration", [*config_faults(scalars, tiers), *faults])
        for name, setting in SETTINGS.items():
            is_derived = isinstance(scalars[name], Derived)
            value = derive(name, self.latency_target_ms) if is_derived else setting.normal(scalars[name])
            object.__setattr__(self, name, value)
        object.__setattr__(self, "tier_policies", tiers)
        object.__setattr__(self, "groups", GroupPolicies(self.groups))

    @property
    def budget(self) -> TaskBudget:
        """The budget of one poll of a NORMAL task."""
        return TaskBudget(self.poll_budget_us, self.operation_budget)

    def budget_for(self, priority: TaskPriority) -> TaskBudget:
        """The budget of one poll at a priority."""
        return self.budget.for_priority(priority)

    def policy_for(self, tier: int) -> TierPolicy:
        """Return the policy of a tier.

        Raises:
            ConfigError: There is no such tier.
        """
        return self.tier_policies[check_action("tier", tier)]

    def with_tier_policy(self, tier: InterventionAction | str | int, policy: TierPolicy) -> TierConfig:
        """Return a copy with another policy for a tier.

        Raises:
            ConfigError: There is no such tier, the policy belongs to another tier, or it contradicts the other settings.
        """
        policies = list(self.tier_policies)
        policies[check_action("tier", tier)] = policy
        return dataclasses.replace(self, tier_policies=tuple(policies))

    def group_policy(self, name: str) -> GroupPolicy:
        """Return the policy of an explicit group, or one that changes nothing if no pattern matches."""
        groups = self.groups
        assert isinstance(groups, GroupPolicies)  # __post_init__ stored it
        return groups.matching(name) or NO_POLICY


def _tiers_faults(tiers: object) -> Iterator[ConfigFault]:
    allowed = "four TierPolicy, with the actions MONITOR, WARN, YIELD, ISOLATE in this order"
    if not isinstance(tiers, Sequence) or not all(isinstance(tier, TierPolicy) for tier in tiers):
        yield must_be("tier_policies", allowed, tiers)
    elif [tier.action for tier in tiers] != list(InterventionAction):
        yield must_be("tier_policies", allowed, [tier.action.name for tier in tiers])


def config_faults(scalars: Mapping[str, Any], tiers: Sequence[TierPolicy | None]) -> Iterator[ConfigFault]:
    """Yield every value out of range, then every pair of valid values that contradict each other.

    Args:
        scalars: A value for each of `SETTINGS`.
        tiers: The tiers. None marks a tier whose own values are faulty.
    """
    faults = list(setting_faults(SETTINGS, scalars))
    yield from faults
    wrong = {fault.field for fault in faults}
    sound = [tier for tier in tiers if tier is not None]
    for lower, upper in pairwise(tier for tier in sound if tier.action is not InterventionAction.ISOLATE):
        yield from _rising_numbers(lower, upper)
    if "promotion_window_ms" not in wrong:
        durations = {} if "idle_decay_ms" in wrong else {"idle_decay_ms": scalars["idle_decay_ms"]}
        yield from _short_durations(scalars["promotion_window_ms"], sound, durations)


def _rising_numbers(lower: TierPolicy, upper: TierPolicy) -> Iterator[ConfigFault]:
    """Yield the promotion numbers of a tier that are larger than those of the tier below it."""
    below, above = (f"tiers.{tier.action.name.lower()}" for tier in (lower, upper))
    for name in ("promotion_threshold", "promotion_cpu_threshold_ms", "promotion_slow_poll_threshold"):
        limit, value = getattr(lower, name), getattr(upper, name)
        if value > limit:
            yield must_be(f"{above}.{name}", f"at most {below}.{name} ({limit})", value)


def _short_durations(
    window_ms: int, tiers: Sequence[TierPolicy], durations: Mapping[str, int]
) -> Iterator[ConfigFault]:
    """Yield durations that are shorter than a promotion window.

    An account that was demoted sooner would still have the cause of its promotion in the window. An account that decays
    sooner would never reach the end of a window if it polls seldom.
    """
    stays = {
        f"tiers.{tier.action.name.lower()}.demotion_min_duration_ms": tier.demotion_min_duration_ms
        for tier in tiers
        if tier.action is not InterventionAction.MONITOR
    }
    for field, duration in {**durations, **stays}.items():
        if duration < window_ms:
            yield must_be(field, f"at least promotion_window_ms ({window_ms})", duration)
