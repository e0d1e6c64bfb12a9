"""The state machine that moves an account, of a task or of an explicit group, up and down the four tiers.

It is pure: event, rules and time come in as values, and the change of tier, if any, goes out. No other part decides about
tiers.

An account goes up one tier when it reaches a number of its tier's policy. Only polls within the promotion window and since
the account entered the tier count. Beyond Warn there must also be pressure: others waited beyond the latency target, the
account's polls kept some of them waiting, and no other account used more. An account goes down one tier after enough good
polls in a row, after the minimum time at the tier, and outside a cooldown; or after a long time without any poll.
"""

from __future__ import annotations

import dataclasses

from asyncio_pulse.policy.priority import TaskPriority
from asyncio_pulse.policy.tier_config import InterventionAction, TierConfig

__all__ = [
    "BadPoll",
    "Rules",
    "Standing",
    "TierStep",
    "decay",
    "earliest_demotion",
    "enforce_cap",
    "enter_violations",
    "on_bad_poll",
    "on_good_polls",
    "over_budget_ns",
]

SLOTS = 16
"""Number of equal parts of a promotion window.

Bad polls of one part are counted together, and are forgotten together, up to 1/16 of the window too soon. This bounds the
size of a standing whatever its account does.
"""

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class BadPoll:
    """A poll that exceeded its budget or was slow."""

    violation: bool
    slow: bool
    """Whether it lasted longer than the slow-poll threshold by its own doing: on the CPU, or blocking."""
    over_budget_ns: int
    """CPU time beyond the budget, nanoseconds, >= 0."""
    others_waited: bool
    """Whether it kept other tasks from running."""
    wall_ns: int = 0
    """Duration, nanoseconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """The rules for one account at one moment."""

    config: TierConfig
    multiplier: float = 1.0
    """Factor of the promotion numbers, by priority: 0.25, 0.5, 1 or 2."""
    cap: InterventionAction = InterventionAction.YIELD
    """The highest tier that the account may reach."""
    frozen: bool = False
    """Whether promotion is frozen because the machine is at fault."""
    pressure: float | None = None
    """Share of the window in which others waited beyond the target, 0..1. None if nobody watches the loop: then the
    account's own bad polls count that others waited for."""
    is_first: bool = True
    """Whether no other account uses more."""

    @classmethod
    def of(
        cls,
        config: TierConfig,
        priority: TaskPriority,
        max_tier: InterventionAction | None = None,
        *,
        frozen: bool = False,
    ) -> Rules:
        """Derive the rules of an account.

        Args:
            config: The configuration in force.
            priority: Priority of the account.
            max_tier: The highest tier requested for this very account. None means that of the configuration, and for a
                critical account for at most Warn.
            frozen: Whether promotion is frozen.
        """
        usual = config.max_tier
        if priority is TaskPriority.CRITICAL:
            usual = min(usual, InterventionAction.WARN)
        return cls(config, priority.threshold_multiplier, usual if max_tier is None else max_tier, frozen)


@dataclasses.dataclass(frozen=True, slots=True)
class TierStep:
    """A change of tier, and why."""

    before: InterventionAction
    after: InterventionAction
    reason: str

    @property
    def is_promotion(self) -> bool:
        """Whether the step leads up."""
        return self.after > self.before


@dataclasses.dataclass(slots=True)
class _Entry:
    at_ns: int
    """Time of the first poll counted in this entry."""
    violations: int
    slow_polls: int
    over_budget_ns: int
    hurting_ns: int
    slow_ns: int

    def add(self, other: _Entry) -> None:
        self.violations += other.violations
        self.slow_polls += other.slow_polls
        self.over_budget_ns += other.over_budget_ns
        self.hurting_ns += other.hurting_ns
        self.slow_ns += other.slow_ns


@dataclasses.dataclass(slots=True)
class _Rate:
    """Events in the last second, estimated from the current and the previous second as if events were evenly spread."""

    second: int = 0
    current: int = 0
    previous: int = 0

    def count(self, events: int, now_ns: int) -> float:
        second, into_ns = divmod(now_ns, NS_PER_S)
        if second != self.second:
            self.previous = self.current if second == self.second + 1 else 0
            self.second, self.current = second, 0
        self.current += events
        return self.current + self.previous * (1 - into_ns / NS_PER_S)


@dataclasses.dataclass(slots=True)
class Standing:
    """An account's tier and the events that led to it. Times are nanoseconds of one monotonic clock."""

    entered_ns: int
    """When the account entered its tier."""
    last_poll_ns: int
    tier: InterventionAction = InterventionAction.MONITOR
    stepped: bool = False
    """Whether the tier ever changed. Only then must the next promotion wait for the hysteresis."""
    good_polls: int = 0
    """Number of good polls in a row, up to the last poll."""
    cooldown_until_ns: int = 0
    pending: bool = False
    """Whether a promotion is due that came too soon after the last step."""
    reason: str = ""
    """Why the account has this tier; empty until its first offence."""
    recent: list[_Entry] = dataclasses.field(default_factory=list)
    """Bad polls within the promotion window and since the tier was entered, oldest first."""
    rate: _Rate = dataclasses.field(default_factory=_Rate)

    @classmethod
    def new(cls, now_ns: int) -> Standing:
        """Return a new standing at Monitor."""
        return cls(entered_ns=now_ns, last_poll_ns=now_ns)


def on_bad_poll(standing: Standing, poll: BadPoll, rules: Rules, now_ns: int) -> TierStep | None:
    """Record a bad poll, and promote the account if that is due."""
    standing.last_poll_ns = now_ns
    standing.good_polls = 0
    _enter(standing, poll, rules, now_ns)
    enter_violations(standing, int(poll.violation), rules, now_ns)
    return _promote(standing, rules, now_ns)


def enter_violations(standing: Standing, violations: int, rules: Rules, now_ns: int) -> None:
    """Record a number of recent violations. Too many per second start a cooldown, which forbids demotion."""
    if standing.rate.count(violations, now_ns) > rules.config.violation_rate_threshold:
        standing.cooldown_until_ns = now_ns + rules.config.cooldown_duration_ms * NS_PER_MS


def on_good_polls(standing: Standing, in_a_row: int, rules: Rules, now_ns: int) -> TierStep | None:
    """Record the number of good polls in a row.

    Applies a pending promotion that still holds, or else demotes the account if that is due.
    """
    standing.last_poll_ns = now_ns
    standing.good_polls = in_a_row
    if standing.pending:
        step = _promote(standing, rules, now_ns)
        if step is not None:
            return step
    policy = rules.config.tier_policies[standing.tier]
    if (
        standing.tier is InterventionAction.MONITOR
        or standing.good_polls < policy.demotion_good_polls
        or now_ns < earliest_demotion(standing, rules)
    ):
        return None
    reason = f"{standing.good_polls} good polls in a row"
    return _step(standing, InterventionAction(standing.tier - 1), reason, now_ns)


def decay(standing: Standing, rules: Rules, now_ns: int) -> TierStep | None:
    """Step down once per `idle_decay_ms` without a poll. Call this before recording what happens at `now_ns`."""
    before = standing.tier
    idle_ns = rules.config.idle_decay_ms * NS_PER_MS
    while standing.tier > InterventionAction.MONITOR:
        # The step before counts as well: however often somebody looks, no two steps are closer than that.
        since_ns = max(standing.last_poll_ns, standing.entered_ns)
        due_ns = max(since_ns + idle_ns, earliest_demotion(standing, rules))
        if due_ns > now_ns:
            break
        seconds = (due_ns - standing.last_poll_ns) / NS_PER_S
        _step(standing, InterventionAction(standing.tier - 1), f"idle for {seconds:.0f} s", due_ns)
    return None if standing.tier is before else TierStep(before, standing.tier, standing.reason)


def enforce_cap(standing: Standing, rules: Rules, now_ns: int) -> TierStep | None:
    """Bring an account down to its cap at once, after the cap was lowered."""
    if standing.tier <= rules.cap:
        return None
    return _step(standing, rules.cap, f"its max_tier is {rules.cap.name.title()}", now_ns)


def _enter(standing: Standing, poll: BadPoll, rules: Rules, now_ns: int) -> None:
    window_ns = rules.config.promotion_window_ms * NS_PER_MS
    slot_ns = window_ns // SLOTS
    recent = standing.recent
    while recent and recent[0].at_ns <= now_ns - window_ns:
        recent.pop(0)
    if not recent or recent[-1].at_ns // slot_ns != now_ns // slot_ns:
        recent.append(_Entry(now_ns, 0, 0, 0, 0, 0))
    entry = recent[-1]
    entry.violations += poll.violation
    entry.slow_polls += poll.slow
    entry.over_budget_ns += poll.over_budget_ns
    entry.hurting_ns += poll.over_budget_ns if poll.others_waited else 0
    entry.slow_ns += poll.wall_ns if poll.slow else 0


def _sum(standing: Standing, since_ns: int) -> _Entry:
    total = _Entry(since_ns, 0, 0, 0, 0, 0)
    for entry in standing.recent:
        if entry.at_ns > since_ns:
            total.add(entry)
    return total


def _promote(standing: Standing, rules: Rules, now_ns: int) -> TierStep | None:
    standing.pending = False
    seen = _sum(standing, now_ns - rules.config.promotion_window_ms * NS_PER_MS)
    due = _due(standing, seen, rules)
    if due is None:
        return None
    held = _held_back(standing, seen, rules)
    if held is not None:
        standing.reason = f"{due}, but {held}"
        return None
    if standing.stepped and now_ns < standing.entered_ns + rules.config.promotion_hysteresis_ms * NS_PER_MS:
        standing.pending = True
        return None
    return _step(standing, InterventionAction(standing.tier + 1), due, now_ns)


def _due(standing: Standing, seen: _Entry, rules: Rules) -> str | None:
    """Describe which of the tier's numbers was reached; None if none was."""
    if standing.tier is InterventionAction.ISOLATE:
        return None
    policy = rules.config.tier_policies[standing.tier]
    # A second holds only three polls that block for 300 ms, so slow polls also count by their length.
    slow_limit_ms = policy.promotion_slow_poll_threshold * rules.config.slow_poll_threshold_ms
    return (
        _reached(seen.violations, policy.promotion_threshold, "violations", rules)
        or _reached(
            seen.over_budget_ns / NS_PER_MS, policy.promotion_cpu_threshold_ms, "ms of CPU beyond the budget", rules
        )
        or _reached(seen.slow_polls, policy.promotion_slow_poll_threshold, "slow polls", rules)
        or _reached(seen.slow_ns / NS_PER_MS, slow_limit_ms, "ms of slow polls", rules)
    )


def _reached(value: float, threshold: float, what: str, rules: Rules) -> str | None:
    limit = max(1.0, threshold * rules.multiplier)
    if value < limit:
        return None
    return f"{value:.0f} {what} within {rules.config.promotion_window_ms} ms (limit {limit:g})"


def _held_back(standing: Standing, seen: _Entry, rules: Rules) -> str | None:
    """Describe why a due promotion does not happen; None if nothing prevents it."""
    if standing.tier >= rules.cap:
        return f"its max_tier is {rules.cap.name.title()}"
    if standing.tier >= InterventionAction.WARN:
        held = _without_pressure(seen, rules)
        if held is not None:
            return held
    if rules.frozen:
        return "promotion is frozen: the machine is at fault"
    return None


def _without_pressure(seen: _Entry, rules: Rules) -> str | None:
    if seen.hurting_ns == 0:
        return "no other task waited for its CPU time"
    window_ns = rules.config.promotion_window_ms * NS_PER_MS
    share, waited = rules.pressure, "others waited beyond the latency target"
    if share is None:
        share, waited = seen.hurting_ns / window_ns, "other tasks waited for it"
    if share < rules.config.promotion_share:
        return f"{waited} for {share:.1%} of the time, less than promotion_share ({rules.config.promotion_share:.0%})"
    return None if rules.is_first else "another task or group uses more"


def over_budget_ns(standing: Standing, rules: Rules, now_ns: int) -> int:
    """Return the CPU time beyond the budget within the window and since the account entered its tier, nanoseconds."""
    return _sum(standing, now_ns - rules.config.promotion_window_ms * NS_PER_MS).over_budget_ns


def earliest_demotion(standing: Standing, rules: Rules) -> int:
    """Return the earliest time at which an account may step down, as far as is known now."""
    config = rules.config
    least_ms = max(config.tier_policies[standing.tier].demotion_min_duration_ms, config.demotion_hysteresis_ms)
    return max(standing.entered_ns + least_ms * NS_PER_MS, standing.cooldown_until_ns)


def _step(standing: Standing, tier: InterventionAction, reason: str, now_ns: int) -> TierStep:
    step = TierStep(standing.tier, tier, reason)
    standing.tier = tier
    standing.entered_ns = now_ns
    standing.stepped = True
    standing.recent = []
    standing.good_polls = 0
    standing.pending = False
    standing.reason = reason
    return step
