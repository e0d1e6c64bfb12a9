"""The manager of one governed loop: its measurements and its configuration."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import logging
import secrets
import sys
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from asyncio_pulse import _core
from asyncio_pulse.metrics.model import (
    DerivedMetrics,
    GroupMetrics,
    LoopTiers,
    Metrics,
    Report,
    TaskInfo,
    TierChange,
    WorkerMetrics,
)
from asyncio_pulse.policy.group_policy import PREEMPT_MODES
from asyncio_pulse.policy.priority import TaskPriority
from asyncio_pulse.policy.slow_queue import SchedulingAlgorithm
from asyncio_pulse.policy.tier_config import Mode, TierConfig, TierPolicy
from asyncio_pulse.policy.tier_policy import InterventionAction
from asyncio_pulse.runtime import loop_values
from asyncio_pulse.runtime.afterwards import AFTERWARDS
from asyncio_pulse.runtime.config_sources import MODE_VARIABLE
from asyncio_pulse.runtime.decisions import Account, TierDecisions
from asyncio_pulse.runtime.events import TierEvents, TierEventSource
from asyncio_pulse.runtime.group_values import group_values
from asyncio_pulse.runtime.hooks import HookRegistry
from asyncio_pulse.runtime.lock import LOCK
from asyncio_pulse.runtime.manual import ManualPolls, PollResult, TaskContext
from asyncio_pulse.runtime.origin import origin_of
from asyncio_pulse.runtime.preemption import PURE_MODULES
from asyncio_pulse.runtime.settings import ConfigSource, forced_mode, resolve_config
from asyncio_pulse.runtime.sums import by_name, make_report
from asyncio_pulse.runtime.workers import WORKERS

__all__ = ["TierManager"]

logger = logging.getLogger("asyncio_pulse.manager")

_METRICS = tuple(field.name for field in dataclasses.fields(Metrics))


def _configure(governor: _core.Governor, config: TierConfig) -> None:
    """Hand the numbers of a configuration to the core. They take effect with each task's next poll."""
    budgets = [config.budget_for(priority) for priority in TaskPriority]
    cpu_us = [budget.cpu_us for budget in budgets]
    operations = [budget.operations for budget in budgets]
    governor.configure(
        poll_budget_us=(cpu_us[0], cpu_us[1], cpu_us[2], cpu_us[3]),
        operation_budget=(operations[0], operations[1], operations[2], operations[3]),
        slow_poll_threshold_us=config.slow_poll_threshold_ms * 1000,
        cpu_sample_interval_us=config.cpu_sample_interval_us,
        max_groups=config.max_groups,
        stall_threshold_us=config.stall_threshold_ms * 1000,
        latency_target_us=config.latency_target_ms * 1000,
    )
    everything = config.preemptible_modules == ("*",)
    governor.configure_preemption(
        mode=PREEMPT_MODES.index(config.preempt),
        modules=None if everything else PURE_MODULES | frozenset(map(sys.intern, config.preemptible_modules)),
        through_iteration=config.preempt_through_c == "iteration",
        # The pattern "*" also covers tasks without an explicit group, because it is the switch for all tasks.
        off_without_group="*" in config.groups and config.groups["*"].preempt == "off",
        step_us=config.latency_target_ms * 1000,
    )


def _anywhere(config: TierConfig) -> tuple[str, ...]:
    patterns = (pattern for pattern, policy in config.groups.items() if policy.preempt == "anywhere")
    return (*["*"] * (config.preempt == "anywhere"), *patterns)


def _reason(account: _core.Account | None) -> str:
    return account.standing.reason if isinstance(account, Account) else ""


_ALGORITHMS = list(SchedulingAlgorithm)


def _configure_slow_queue(governor: _core.Governor, config: TierConfig) -> None:
    settings = config.slow_queue
    governor.configure_slow_queue(
        algorithm=_ALGORITHMS.index(settings.algorithm),
        max_size=settings.max_slow_queue_size,
        seed=secrets.randbits(64) if settings.lottery_seed is None else settings.lottery_seed,
        starvation_threshold_ms=settings.starvation_threshold_ms,
        slice_us=settings.slice_time_per_turn_us or config.poll_budget_us,
        isolated_share=settings.isolated_loop_share,
        breaker_ms=config.park_breaker_ms,
        turn_limit_ms=config.turn_limit_ms,
    )


def _call_in_loop(loop: asyncio.AbstractEventLoop | None, call: Callable[[], None]) -> None:
    """Call in the thread of a loop; at once if this is that thread, if there is no loop, or if it is closed."""
    if loop is not None and not loop.is_closed() and asyncio._get_running_loop() is not loop:
        try:
            loop.call_soon_threadsafe(call, context=contextvars.Context())
            return
        except RuntimeError:  # the loop was closed in between
            pass
    call()


class TierManager:
    """The measurements and the configuration of one governed loop; `install` makes one.

    Any thread may use it. It holds no reference to the loop, and stays readable after the loop is closed. A manager that
    you construct yourself belongs to no loop. It counts polls of a loop that pulse does not drive, reported by four hooks:

        manager = TierManager()
        manager.before_poll(task_id, TaskContext(manager.worker_id))
        ...
        manager.after_poll(task_id, PollResult.PENDING, duration_ns)

    Args:
        config: A TierConfig, a ConfigProfile or its name, the path of a TOML file, or None for the operator's
            configuration.
        in_use: Returns whether the worker's number is still taken; by default it is while the manager exists.
        loop: Returns the loop, or None once the loop is gone.
        on_switch: Called when the mode becomes "off", and when it becomes another mode again.

    Raises:
        ConfigError: The configuration is invalid.
    """

    def __init__(
        self,
        config: ConfigSource = None,
        *,
        in_use: Callable[[], bool] | None = None,
        loop: Callable[[], asyncio.AbstractEventLoop | None] = lambda: None,
        on_switch: Callable[[], object] = lambda: None,
    ) -> None:
        """Take the lowest free worker number."""
        self._config = resolve_config(config)
        self._configured_in_code = config is not None
        """Whether code set this configuration. If so, a change of the operator's file does not replace it."""
        self._on_switch: Callable[[], object] = lambda: None
        reference = weakref.ref(self)
        self.governor = WORKERS.add(_core.Governor, in_use or (lambda: reference() is not None))
        self.hooks = HookRegistry(self.governor)
        self._manual = ManualPolls(self.governor)
        self._loop = loop
        self._events = TierEventSource()
        # Not a method of this class: it would keep the manager alive as long as the core keeps its decisions.
        hooks, events = self.hooks, self._events

        def on_change(change: TierChange) -> None:
            if hooks:
                _call_in_loop(loop(), partial(hooks.on_tier_change, change))
            events.publish(change)

        self._decisions = TierDecisions(self.governor, on_change, self._config)
        self._put_in_force(self._config)
        self._on_switch = on_switch
        # Detaching breaks a cycle: the core keeps the decisions, and the decisions keep the core.
        weakref.finalize(self, self.governor.detach).atexit = False

    def __repr__(self) -> str:
        """Show the worker, and whether the loop is governed."""
        state = "attached" if self.governor.attached else "detached"
        return f"<TierManager worker={self.worker_id} {state}>"

    @property
    def worker_id(self) -> int:
        """Number of the worker that runs the loop, >= 0."""
        return self.governor.worker_id

    @property
    def config(self) -> TierConfig:
        """The configuration in force."""
        return self._config

    @property
    def is_off(self) -> bool:
        """Whether the mode is "off": nothing is measured, and nothing acts."""
        return self._config.mode == "off"

    def update_config(self, config: ConfigSource) -> None:
        """Apply another configuration, from each task's next poll on.

        Args:
            config: A TierConfig, a ConfigProfile or its name, the path of a TOML file, or None for the operator's
                configuration. `ASYNCIO_PULSE_MODE` overrides its mode.

        Raises:
            ConfigError: The configuration is invalid; nothing was changed.
        """
        self._put_in_force(resolve_config(config))
        self._configured_in_code = config is not None

    def update_tier_policy(self, tier: InterventionAction | str | int, policy: TierPolicy) -> None:
        """Apply another policy for one tier, from each task's next poll on.

        Args:
            tier: An `InterventionAction`, its name or its number, 0..3.
            policy: The policy.

        Raises:
            ConfigError: The policy contradicts the rest of the configuration; nothing was changed.
        """
        with AFTERWARDS, LOCK:
            self._put_in_force(self._config.with_tier_policy(tier, policy))
            self._configured_in_code = True

    def set_mode(self, mode: Mode) -> Mode:
        """Switch between "off", "observe" and "act".

        `ASYNCIO_PULSE_MODE` in the environment overrides this call: nothing changes, and a warning is logged. Tasks made
        while the mode is "off" are plain, and stay plain.

        Returns:
            The mode in force.

        Raises:
            ConfigError: There is no such mode; nothing was changed.
        """
        with AFTERWARDS, LOCK:
            config = resolve_config(dataclasses.replace(self._config, mode=mode))
            self._put_in_force(config)
            self._configured_in_code |= config.mode == mode
        if config.mode != mode:
            text = "%s: set_mode(%r) changes nothing, because %s is %r in the environment; the mode is %s"
            logger.warning(text, origin_of(self.worker_id), mode, MODE_VARIABLE, forced_mode(), config.mode)
        return config.mode

    def _put_in_force(self, config: TierConfig) -> None:
        with AFTERWARDS, LOCK:
            was_off = self.is_off
            _configure(self.governor, config)
            _configure_slow_queue(self.governor, config)
            self._decisions.configure(config)
            self._config = config
            if self.is_off != was_off:
                self._on_switch()

    def _start_anew(self) -> None:
        """Drop all decisions in a forked child, whose counters start from zero."""
        self._decisions.start_anew()
        self._events.start_anew()

    def get_metrics(self) -> Metrics:
        """Return the counters of the loop since it was governed."""
        counters = self.governor.counters()
        return Metrics(**{name: counters[name] for name in _METRICS})

    def get_derived_metrics(self) -> DerivedMetrics:
        """Return ratios and means of `get_metrics`."""
        return DerivedMetrics.of(self.get_metrics())

    def get_worker_metrics(self, worker_id: int) -> WorkerMetrics:
        """Return the statistics of one worker of the process; zeros for an unused number."""
        return WORKERS.metrics(worker_id)

    def get_all_worker_metrics(self) -> dict[int, WorkerMetrics]:
        """Return the statistics of every worker of the process, by number."""
        return WORKERS.all_metrics()

    def reset_worker_stats(self, worker_id: int) -> None:
        """Restart a worker's statistics from zero. Safe while the worker runs, and for unused numbers."""
        WORKERS.reset(worker_id)

    def report(self) -> Report:
        """Return everything measured on this loop, in one frozen tree. Its groups are unpacked when they are first read."""
        return dataclasses.replace(self._report(), groups=self.groups())

    def _report(self) -> Report:
        """Return everything but the groups: to sort them would unpack them, and they come in order."""
        metrics = self.get_metrics()
        decisions = self._decisions
        return make_report(
            loops=1 if metrics.tasks or metrics.polls or self.is_off else 0,
            metrics=metrics,
            workers={self.worker_id: self.get_worker_metrics(self.worker_id)},
            groups=(),
            worst_polls=loop_values.worst_polls(self.governor),
            loop_metrics=[loop_values.loop_metrics(self.governor)],
            stalls=loop_values.stalls(self.governor),
            loop_tiers=[
                LoopTiers(
                    worker_id=self.worker_id,
                    mode=self._config.mode,
                    promotion_frozen=decisions.is_frozen,
                    freezes=decisions.freezes,
                    open_breakers=decisions.open_breakers,
                    anywhere=_anywhere(self._config),
                )
            ],
            tier_changes=by_name(self.audit()),
            tasks=self._offenders(),
            slow_queue=loop_values.slow_queue(self.governor),
            preemption=loop_values.preemption(self.governor),
        )

    def groups(self) -> tuple[GroupMetrics, ...]:
        """Return the counters of each group, most wall time first.

        They are unpacked when they are first read. Reading all fields of a thousand groups takes 20 to 40 ms, so use
        `asyncio.to_thread`.
        """
        self._decisions.settle_idle()
        return group_values(self.governor.groups())

    def tasks(self) -> tuple[TaskInfo, ...]:
        """Return every live governed task of the loop, by number; empty if the loop is gone or not known."""
        self._decisions.settle_idle()
        loop = self._loop()
        if loop is None:
            return ()
        infos = (self._task_info(task) for task in asyncio.all_tasks(loop))
        return tuple(sorted((info for info in infos if info is not None), key=lambda info: info.task_id))

    def _offenders(self) -> list[TaskInfo]:
        """Return the tasks above Monitor."""
        self._decisions.settle_idle()
        loop = self._loop()
        # Without offenders the tasks are not even listed, because there may be a million.
        if loop is None or not self._decisions.anyone_above_monitor:
            return []
        infos = (self._task_info(task, lowest_tier=1) for task in asyncio.all_tasks(loop))
        return [info for info in infos if info is not None]

    def _task_info(self, task: asyncio.Task[Any], lowest_tier: int = 0) -> TaskInfo | None:
        coro = task.get_coro()
        if not isinstance(coro, _core.GovernedCoroutine) or coro.governor is not self.governor:
            return None
        if coro.tier < lowest_tier:
            return None
        group, account = coro.group, coro.account
        snapshot = coro.counters()
        counters = ("polls", "violations", "slow_polls", "cpu_time_ns", "wall_time_ns")
        return TaskInfo(
            task_id=coro.task_id,
            name=task.get_name(),
            coroutine=getattr(coro, "__qualname__", None) or getattr(coro, "__name__", None) or "",
            group="" if group is None else group.name,
            explicit_group=group is not None and group.explicit,
            priority=coro.priority,
            tier=coro.tier,
            tier_reason=_reason(account) or _reason(None if group is None else group.account),
            **{name: snapshot[name] for name in counters},
        )

    def audit(self) -> tuple[TierChange, ...]:
        """Return the latest changes of tier, oldest first, at most `audit_size` of them."""
        return self._decisions.audit()

    def events(self) -> TierEvents:
        """Return a stream of the changes of tier from now on: `async for change in manager.events()`, on the running loop.

        Raises:
            RuntimeError: No loop is running.
        """
        return self._events.open()

    def before_poll(self, task_id: int, context: TaskContext) -> None:
        """Report that a poll of a task that pulse does not drive begins in this thread.

        Args:
            task_id: Any number that identifies the task, from its first poll to `on_completion`.
            context: Priority and group of the task. Only those of the first poll count.

        Raises:
            RuntimeError: The task is being polled already.
        """
        self._manual.before_poll(task_id, context)

    def after_poll(self, task_id: int, result: PollResult, duration_ns: int) -> None:
        """Report that this poll ended. All of its duration counts as CPU time.

        Args:
            task_id: The task.
            result: How the poll ended; READY and FAILED complete the task.
            duration_ns: Duration of the poll, nanoseconds, >= 0.

        Raises:
            RuntimeError: The task is not the one being polled in this thread.
        """
        self._manual.after_poll(task_id, result, duration_ns)

    def on_yield(self, task_id: int) -> None:
        """Report that a task's last poll ended because the task gave way; does nothing for an unknown task."""
        self._manual.on_yield(task_id)

    def on_completion(self, task_id: int) -> None:
        """Report that a task is done or was dropped; does nothing for an unknown task."""
        self._manual.on_completion(task_id)
