"""Decisions about tiers: passes events of the core to the state machine, then applies, logs and records its steps.

The core calls this module in the loop's thread, between the polls of tasks: after bad polls, after several good polls of an
account above Monitor, and after such an account was idle. Configurations come from any thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from asyncio_pulse import _core
from asyncio_pulse.metrics.code_places import is_wrapper
from asyncio_pulse.metrics.model import StackFrame, TierChange
from asyncio_pulse.policy.breaker import Breaker, BreakerState
from asyncio_pulse.policy.group_names import bounded_name
from asyncio_pulse.policy.group_policy import NO_POLICY, PREEMPT_MODES
from asyncio_pulse.policy.health_routes import HEALTH_PRIORITY, is_health_route
from asyncio_pulse.policy.log_limit import LogLimit
from asyncio_pulse.policy.machine_fault import MachineFault
from asyncio_pulse.policy.pressure import Candidate, Pressure
from asyncio_pulse.policy.priority import TaskPriority
from asyncio_pulse.policy.state_machine import (
    BadPoll,
    Rules,
    Standing,
    TierStep,
    decay,
    earliest_demotion,
    enforce_cap,
    enter_violations,
    on_bad_poll,
    on_good_polls,
    over_budget_ns,
)
from asyncio_pulse.policy.tier_config import InterventionAction, TierConfig
from asyncio_pulse.runtime.afterwards import AFTERWARDS
from asyncio_pulse.runtime.audit import AuditRing
from asyncio_pulse.runtime.origin import origin_of
from asyncio_pulse.runtime.stall_log import StallLog

__all__ = ["Account", "TierDecisions"]

logger = logging.getLogger("asyncio_pulse.tiers")

NS_PER_MS = 1_000_000
SETTLED_NS = 1000 * NS_PER_MS
"""How long the core only counts the bad polls of an account that has reached its cap.

Then it reports them together: often enough for the rate of violations, which covers one second, and seldom enough to cost
nothing in comparison.
"""


class Account(_core.Account):
    """The account of a task or of an explicit group: its standing, and the state needed to apply it."""

    __slots__ = (
        "__weakref__",
        "breaker",
        "entered_at_ns",
        "group",
        "holder",
        "kind",
        "name",
        "priority",
        "standing",
    )

    def __init__(self, holder: _core.GovernedCoroutine | _core.Group, name: str, group: str, now_ns: int) -> None:
        """Start at Monitor."""
        is_group = isinstance(holder, _core.Group)
        # A coroutine owns its account, so the account refers to it weakly. Groups are looked up by name.
        self.holder: Callable[[], Any] = (lambda: None) if is_group else weakref.ref(holder)
        self.kind = "group" if is_group else "task"
        self.name = name
        self.group = group
        self.priority = TaskPriority.NORMAL
        self.standing = Standing.new(now_ns)
        self.breaker: Breaker | None = None
        self.entered_at_ns = now_ns


class TierDecisions:
    """Decides about the tiers of one loop's tasks and groups.

    Args:
        governor: The loop's record in the core.
        on_change: Called with every change, in the loop's thread.
        config: The initial configuration.
    """

    def __init__(self, governor: _core.Governor, on_change: Callable[[TierChange], None], config: TierConfig) -> None:
        """Start with every account at Monitor."""
        self._governor = governor
        self._on_change = on_change
        self._config = config
        # Reentrant, because the collector may run finalisers while the lock is held, and a finaliser may poll.
        self._lock = threading.RLock()
        self._machine = MachineFault()
        self._pressure = Pressure()
        self._audit = AuditRing(config.audit_size)
        self._tasks: weakref.WeakSet[Account] = weakref.WeakSet()
        self._tiered_tasks: weakref.WeakSet[Account] = weakref.WeakSet()
        # Weak too, because a group that is folded away takes its account with it.
        self._tiered_groups: weakref.WeakValueDictionary[str, Account] = weakref.WeakValueDictionary()
        self._log_limit = LogLimit()
        self._stall_log = StallLog(governor.worker_id)
        self._to_tell: deque[Callable[[], None]] = deque()

    @contextlib.contextmanager
    def _deciding(self) -> Iterator[None]:
        """Hold the lock, then announce the decisions without it: listeners may call us, also from other threads."""
        with self._lock:
            yield
        # Leaving the inner one of two nested decisions announces nothing. A finaliser may poll in the middle of a decision.
        if not self._lock._is_owned():  # type: ignore[attr-defined]
            with contextlib.suppress(IndexError):
                while True:
                    AFTERWARDS.call(self._to_tell.popleft())

    def configure(self, config: TierConfig) -> None:
        """Apply a configuration. Any thread may call this."""
        with self._deciding():
            self._config = config
            self._audit.resize(config.audit_size)
            tiers = config.tier_policies
            good_ns = [tier.demotion_cpu_threshold_ns for tier in tiers]
            interval = [tier.demotion_evaluation_interval for tier in tiers]
            self._governor.configure_tiers(
                decisions=None if config.mode == "off" else self,
                good_cpu_ns=(good_ns[0], good_ns[1], good_ns[2], good_ns[3]),
                evaluation_interval=(interval[0], interval[1], interval[2], interval[3]),
                idle_decay_ms=config.idle_decay_ms,
                max_tier=config.max_tier,
                observes=config.mode != "act",
                off=config.mode == "off",
            )
            self._apply_to_accounts()

    def audit(self) -> tuple[TierChange, ...]:
        """Return the latest changes of tier, oldest first."""
        self._governor.tell_due()
        with self._lock:
            return self._audit.changes()

    @property
    def is_frozen(self) -> bool:
        """Whether promotion is frozen because the machine is at fault."""
        return self._machine.is_frozen(_core.monotonic_ns())

    @property
    def freezes(self) -> int:
        """Number of times that promotion froze."""
        return self._machine.freezes

    @property
    def open_breakers(self) -> int:
        """Number of groups that are only observed because their circuit breaker is open."""
        self.settle_idle()
        groups = self._tiered_groups.values()
        return sum(account.breaker is not None and account.breaker.state is BreakerState.OPEN for account in groups)

    @property
    def anyone_above_monitor(self) -> bool:
        """Whether any account, of a task or of an explicit group, is above Monitor."""
        return bool(self._tiered_groups) or len(self._tiered_tasks) > 0

    # Called by the core.

    def on_new_group(self, group: _core.Group) -> None:
        """Handle the first use of an explicit group."""
        policy = self._config.group_policy(group.name)
        by_name = HEALTH_PRIORITY if is_health_route(group.name) else None
        group.set_priority(by_name if policy.priority is None else policy.priority)
        group.set_max_tier(InterventionAction.MONITOR if policy.exempt else policy.max_tier)
        group.set_preempt(None if policy.preempt is None else PREEMPT_MODES.index(policy.preempt))

    def on_bad_poll(
        self,
        coro: _core.GovernedCoroutine,
        ended_ns: int,
        wall_ns: int,
        cpu_ns: int,
        over_budget_ns: int,
        violation: bool,
        slow: bool,
        waited: bool,
        stack: tuple[tuple[str, str, int], ...] | None,
    ) -> None:
        """Handle a poll that exceeded its budget or was slow, once its cause is known."""
        if not violation and not slow:
            return
        group = coro.group
        assert group is not None  # a polled coroutine has a group
        policy = self._config.group_policy(group.name) if group.explicit else NO_POLICY
        if policy.exempt:
            return
        poll = BadPoll(violation, slow, over_budget_ns, waited, wall_ns)
        facts = (wall_ns, cpu_ns, stack, coro)
        with self._deciding():
            self._pressure.note(self._governor.late_ns or 0, ended_ns, self._config.promotion_window_ms * NS_PER_MS)
            for holder in (coro, group) if group.explicit else (coro,):
                account = self._account_of(holder, group, ended_ns)
                account.priority = TaskPriority(coro.priority)
                account.quiet_until_ns = 0
                self._try_again(account, ended_ns)
                rules = self._rules(account, ended_ns)
                self._enter_untold(account, rules, ended_ns)
                rules = self._under_pressure(account, rules, poll, ended_ns)
                step = on_bad_poll(account.standing, poll, rules, ended_ns)
                self._apply(account, step, ended_ns, facts)
                if account.tier >= rules.cap:
                    account.settled_until_ns = ended_ns + SETTLED_NS

    def on_good_polls(self, account: Account, in_a_row: int, now_ns: int) -> None:
        """Handle a number of good polls in a row of an account above Monitor."""
        with self._deciding():
            self._try_again(account, now_ns)
            rules = self._rules(account, now_ns)
            self._enter_untold(account, rules, now_ns)
            rules = self._under_pressure(account, rules, None, now_ns)
            step = on_good_polls(account.standing, in_a_row, rules, now_ns)
            self._apply(account, step, now_ns)
            if step is None and not account.standing.pending:
                account.quiet_until_ns = earliest_demotion(account.standing, rules)

    def on_idle(self, account: Account, last_poll_ns: int, now_ns: int) -> None:
        """Handle a poll of an account above Monitor that comes after a long pause."""
        with self._deciding():
            self._decay(account, last_poll_ns, now_ns)

    def on_releases(self, group: str, releases: int, late: int, longest_ms: int, now_ns: int) -> None:
        """Handle the releases of one group from the slow queue since the last call, some of them late."""
        with self._deciding():
            account = self._tiered_groups.get(group)
            if account is None:
                return
            if account.breaker is None:
                account.breaker = Breaker()
            if account.breaker.on_releases(releases, late, longest_ms, self._config.park_breaker_ms, now_ns):
                self._on_breaker(account, account.breaker)

    def on_stall(self, stall: Mapping[str, Any]) -> None:
        """Handle a stall of the loop that is over."""
        self._stall_log.note(stall, self._config.warn_interval_ms * NS_PER_MS, _core.monotonic_ns())

    # Called by Python code.

    def start_anew(self) -> None:
        """Drop every decision. This process was forked, and the decisions are its parent's."""
        # A thread that held the old lock in the parent does not exist here.
        self._lock = threading.RLock()
        with self._lock:
            self._to_tell.clear()
            self._audit.clear()
            self._log_limit = LogLimit()
            self._machine = MachineFault()
            self._pressure = Pressure()
            groups = map(self._governor.explicit_group, self._governor.explicit_group_names())
            tasks = [account.holder() for account in self._tasks]
            for holder in (*tasks, *groups):
                if holder is not None:
                    holder.set_account(None)
            self._tiered_tasks.clear()
            self._tiered_groups.clear()

    def settle_idle(self) -> None:
        """Fetch the latest polls, and demote accounts that have been idle. Call this before reading accounts."""
        self._governor.tell_due()
        now_ns = _core.monotonic_ns()
        with self._deciding():
            for account in self._accounts():
                self._try_again(account, now_ns)
                last_ns = account.last_poll_ns
                if self._holder(account) is not None and now_ns - last_ns > self._config.idle_decay_ms * NS_PER_MS:
                    self._decay(account, last_ns, now_ns)

    def _accounts(self) -> Iterable[Account]:
        return [*self._tiered_tasks, *self._tiered_groups.values()]

    def _account_of(self, holder: _core.GovernedCoroutine | _core.Group, group: _core.Group, now_ns: int) -> Account:
        account = holder.account
        if isinstance(account, Account):
            account.group = group.name  # a task may have changed it
            return account
        # Some coroutine types written as classes have only a __name__.
        own_name = holder.name if isinstance(holder, _core.Group) else getattr(holder, "__qualname__", None)
        name = bounded_name(group.name if _is_wrapped(holder) else own_name or group.name)
        account = Account(holder, name, group.name, now_ns)
        self._observe(account)
        holder.set_account(account)
        if account.kind == "task":
            self._tasks.add(account)
        return account

    def _rules(self, account: Account, now_ns: int) -> Rules:
        coro: _core.GovernedCoroutine | None = account.holder()
        of_explicit_group = coro is None or (coro.group is not None and coro.group.explicit)
        policy = self._config.group_policy(account.group) if of_explicit_group else NO_POLICY
        cap = policy.max_tier
        if policy.exempt:
            cap = InterventionAction.MONITOR
        elif coro is not None and coro.options is not None and coro.options.max_tier is not None:
            cap = InterventionAction(coro.options.max_tier)
        return Rules.of(self._config, account.priority, cap, frozen=self._machine.is_frozen(now_ns))

    def _under_pressure(self, account: Account, rules: Rules, poll: BadPoll | None, now_ns: int) -> Rules:
        """Return the rules for an account that may go beyond Warn now: they depend on the loop, and on other accounts."""
        late_ns = self._governor.late_ns
        if not InterventionAction.WARN <= account.standing.tier < rules.cap or late_ns is None:
            return rules
        used_ns = over_budget_ns(account.standing, rules, now_ns) + (poll.over_budget_ns if poll is not None else 0)
        candidate = _candidate(account, used_ns, now_ns)
        window_ns = self._config.promotion_window_ms * NS_PER_MS
        return dataclasses.replace(
            rules,
            pressure=self._pressure.share(candidate, late_ns, window_ns),
            is_first=self._pressure.is_first(candidate, window_ns),
        )

    def _enter_untold(self, account: Account, rules: Rules, now_ns: int) -> None:
        if account.untold_violations:
            enter_violations(account.standing, account.untold_violations, rules, now_ns)
            account.untold_violations = 0

    def _decay(self, account: Account, last_poll_ns: int, now_ns: int) -> None:
        account.standing.last_poll_ns = max(account.standing.last_poll_ns, last_poll_ns)
        self._apply(account, decay(account.standing, self._rules(account, now_ns), now_ns), now_ns)

    def _apply(
        self, account: Account, step: TierStep | None, now_ns: int, facts: tuple[Any, ...] | None = None
    ) -> None:
        if step is None:
            return
        self._stand(account)
        change = self._describe(account, step, now_ns, facts)
        account.entered_at_ns = now_ns
        self._audit.append(change)
        self._to_tell += (partial(self._log, change, now_ns), partial(self._on_change, change))
        if step.is_promotion and step.after > InterventionAction.WARN:
            self._pressure.on_promotion(_candidate(account, 0, now_ns), self._governor.late_ns or 0)
        if step.is_promotion and account.kind == "group":
            self._watch_the_machine(account, now_ns)

    def _say(self, level: int, text: str, *arguments: object) -> None:
        self._to_tell.append(partial(logger.log, level, "%s: " + text, origin_of(self._governor.worker_id), *arguments))

    def _holder(self, account: Account) -> _core.GovernedCoroutine | _core.Group | None:
        if account.kind == "group":
            group = self._governor.explicit_group(account.name)
            # After this group was folded, another group with the same name may have come.
            return group if group is not None and group.account is account else None
        holder: _core.GovernedCoroutine | None = account.holder()
        return holder

    def _stand(self, account: Account) -> None:
        account.tier = account.standing.tier
        self._observe(account)
        holder = self._holder(account)
        if holder is not None:
            holder.set_account(account)
        is_up = holder is not None and account.tier > InterventionAction.MONITOR
        if account.kind == "group":
            if is_up:
                self._tiered_groups[account.name] = account
            else:
                self._tiered_groups.pop(account.name, None)
        elif is_up:
            self._tiered_tasks.add(account)
        else:
            self._tiered_tasks.discard(account)

    def _describe(self, account: Account, step: TierStep, now_ns: int, facts: tuple[Any, ...] | None) -> TierChange:
        wall_ns, cpu_ns, stack, coro = facts if facts is not None else (0, 0, None, None)
        frames = tuple(StackFrame(*frame) for frame in stack or ())
        place = frames[0] if frames else _definition(coro, account.group)
        acts = self._config.mode == "act" and not account.observed
        return TierChange(
            at_ns=time.time_ns(),
            worker_id=self._governor.worker_id,
            account=account.kind,
            name=account.name,
            group=account.group,
            before=int(step.before),
            after=int(step.after),
            reason=step.reason,
            mode=self._config.mode,
            acted=acts,
            held_ms=max(0, now_ns - account.entered_at_ns) // NS_PER_MS,
            wall_ns=wall_ns,
            cpu_ns=cpu_ns,
            function=place.function,
            filename=place.filename,
            line=place.line,
            stack=frames,
        )

    def _log(self, change: TierChange, now_ns: int) -> None:
        level = logging.WARNING if change.after > change.before else logging.INFO
        # The key has the name, not the account, because requests are many tasks and each is new.
        key = (change.account, change.name, change.before, change.after)
        untold = self._log_limit.admit(key, self._config.warn_interval_ms * NS_PER_MS, now_ns)
        if untold is not None:
            more = f"; {untold:,} more such changes since this was last logged" if untold else ""
            origin = origin_of(change.worker_id)
            logger.log(level, "%s: %s%s", origin, change, more, extra={"tier_change": change})

    def _watch_the_machine(self, account: Account, now_ns: int) -> None:
        active = self._governor.active_groups(self._config.promotion_window_ms * NS_PER_MS)
        if self._machine.on_promotion(account.name, active, self._config, now_ns):
            self._say(
                logging.WARNING,
                "more than half of the %d active groups were promoted within %d ms, so the machine is at fault; "
                "no group is promoted for that time",
                active,
                self._config.promotion_window_ms,
            )

    def _apply_to_accounts(self) -> None:
        now_ns = _core.monotonic_ns()
        for name in self._governor.explicit_group_names():
            group = self._governor.explicit_group(name)
            if group is not None:
                self.on_new_group(group)
        for account in self._accounts():
            account.quiet_until_ns = account.settled_until_ns = 0
            account.breaker = None
            self._observe(account)
            self._apply(account, enforce_cap(account.standing, self._rules(account, now_ns), now_ns), now_ns)

    def _observe(self, account: Account) -> None:
        rolled_out = _rolled_out(account.group, self._config.rollout_ratio)
        is_open = account.breaker is not None and account.breaker.state is BreakerState.OPEN
        account.observed = is_open or not rolled_out

    def _try_again(self, account: Account, now_ns: int) -> None:
        """Put a group on trial if its breaker was open for long enough."""
        breaker = account.breaker
        if breaker is not None and breaker.state is BreakerState.OPEN and breaker.at(now_ns) is not BreakerState.OPEN:
            self._on_breaker(account, breaker)

    def _on_breaker(self, account: Account, breaker: Breaker) -> None:
        self._observe(account)
        if breaker.state is BreakerState.OPEN:
            text = (
                "the circuit breaker of group %s opened: its tasks waited for %d ms (park_breaker_ms is %d); "
                "the group is only observed, and is parked again on trial in %d s"
            )
            limit_ms, seconds = self._config.park_breaker_ms, breaker.open_ns // (1_000 * NS_PER_MS)
            self._say(logging.WARNING, text, account.name, breaker.wait_ms, limit_ms, seconds)
        elif breaker.state is BreakerState.HALF_OPEN:
            self._say(
                logging.INFO,
                "the circuit breaker of group %s is half-open: the group is parked again on trial",
                account.name,
            )
        else:
            self._say(
                logging.INFO,
                "the circuit breaker of group %s is closed: the group is parked again as before",
                account.name,
            )


def _rolled_out(group: str, ratio: float) -> bool:
    """Whether a group belongs to that share: the same groups in every process, and more groups with a larger ratio."""
    return zlib.crc32(group.encode()) < ratio * 2**32


def _candidate(account: Account, over_budget_ns: int, now_ns: int) -> Candidate:
    # A group that is folded away takes its account with it, so nothing else may hold that.
    return Candidate(weakref.ref(account), account.kind, account.group, over_budget_ns, now_ns)


def _is_wrapped(holder: object) -> bool:
    """Whether it is a coroutine of ours around one of a web application, whose route is the group."""
    code = getattr(holder, "cr_code", None)
    return code is not None and is_wrapper(code.co_filename)


def _definition(coro: _core.GovernedCoroutine | None, group: str) -> StackFrame:
    code = getattr(coro, "cr_code", None)
    if code is None:
        return StackFrame("", "", 0)
    if _is_wrapped(coro):
        return StackFrame(group, "", 0)
    return StackFrame(code.co_qualname, code.co_filename, code.co_firstlineno)
