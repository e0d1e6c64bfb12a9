"""What a type checker sees of the public names; checked with mypy, never run."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, assert_type

import asyncio_pulse as pulse
from asyncio_pulse import errors
from asyncio_pulse.config import (
    SchedulingAlgorithm,
    SlowQueueConfig,
    TierPolicyBuilder,
)
from asyncio_pulse.integrations.asgi import PulseMiddleware
from asyncio_pulse.lowlevel import Discipline, Flow, GovernedCoroutine, SlowQueue, TaskBudget, process_report
from asyncio_pulse.metrics import DerivedMetrics, GroupMetrics, Metrics, Report, TaskMetrics, WorkerMetrics, WorstPoll


async def answer(question: str, times: int = 1) -> int:
    """Give a coroutine to work with."""
    return len(question) * times


@pulse.governed
async def plain(question: str) -> int:
    """Be decorated without parentheses."""
    return len(question)


@pulse.governed(priority=pulse.TaskPriority.HIGH, group="g", preemptible=True, budget_us=500, max_tier="warn")
async def with_options(question: str, *, times: int = 1) -> list[int]:
    """Be decorated with every option."""
    return [len(question)] * times


class Service:
    """Has a decorated method."""

    @pulse.governed(group="method")
    async def method(self, value: bytes) -> str:
        """Be a method."""
        return value.decode()


async def calls() -> None:
    coro = assert_type(plain("why"), Coroutine[Any, Any, int])
    assert_type(await coro, int)
    assert_type(await with_options("why", times=2), list[int])
    assert_type(await Service().method(b""), str)
    await plain(42)  # type: ignore[arg-type]
    await with_options("why", 2)  # type: ignore[call-arg]
    pulse.governed(grup="typo")  # type: ignore[call-overload]
    pulse.governed(len)  # type: ignore[arg-type]


async def tasks() -> None:
    task = pulse.spawn(
        answer("why"),
        name="name",
        priority=pulse.TaskPriority.LOW,
        group="group",
        preemptible=False,
        budget_us=500,
        max_tier="yield",
        context=contextvars.Context(),
    )
    assert_type(task, asyncio.Task[int])
    assert_type(await task, int)
    assert_type(await pulse.spawn(with_options("why")), list[int])
    pulse.spawn(42)  # type: ignore[arg-type]
    pulse.spawn(answer)  # type: ignore[arg-type]
    pulse.spawn(answer("why"), "name")  # type: ignore[call-arg]


async def view() -> None:
    running = pulse.current()
    assert_type(running, pulse.TaskView)
    assert_type(running.priority, pulse.TaskPriority)
    assert_type(running.group, str)
    assert_type(running.tier, pulse.InterventionAction)
    assert_type(running.budget, TaskBudget)
    assert_type(running.operations_left, int)
    assert_type(running.metrics, TaskMetrics)
    running.update(priority=pulse.TaskPriority.LOW, group="g")
    running.group = "g"  # type: ignore[misc]


async def checkpoints() -> None:
    await pulse.checkpoint()
    await pulse.checkpoint(cost=3)
    assert_type(pulse.budget_spent(3), bool)
    await pulse.checkpoint("3")  # type: ignore[arg-type]


def loops(loop: asyncio.AbstractEventLoop) -> None:
    assert_type(pulse.run(answer("why")), int)
    assert_type(pulse.run(answer("why"), config="pulse.toml", debug=True, loop_factory=pulse.new_event_loop), int)
    manager = pulse.install(Path("pulse.toml"), loop=loop)
    assert_type(manager, pulse.TierManager)
    assert_type(pulse.install(pulse.TierConfig(poll_budget_us=500)), pulse.TierManager)
    assert_type(pulse.get_manager(loop=loop), pulse.TierManager)
    pulse.uninstall(loop=loop)
    pulse.install(42)  # type: ignore[arg-type]
    factory: Callable[[], asyncio.AbstractEventLoop] = pulse.new_uvloop_event_loop
    asyncio.Runner(loop_factory=factory)


def web(app: PulseMiddleware) -> None:
    PulseMiddleware(app)
    PulseMiddleware(app, group=lambda scope: None, priority={"GET /health*": pulse.TaskPriority.HIGH}, max_groups=100)
    PulseMiddleware(app, priority=lambda scope: pulse.TaskPriority.LOW)
    PulseMiddleware(app, lambda scope: None)  # type: ignore[call-arg]
    PulseMiddleware(app, priority={"GET /": 1})  # type: ignore[dict-item]


def configuration(manager: pulse.TierManager) -> None:
    policy = pulse.TierPolicy("Warn", pulse.InterventionAction.WARN, 3, 25, 5, 75, 3000, 200_000, 15)
    built = TierPolicyBuilder(policy, name="x").promotion_violations(4).promotion_cpu_ms(5).demotion_cpu_ns(9000)
    assert_type(
        built.demotion_good_polls(5).demotion_min_duration_ms(5).demotion_evaluation_interval(5), TierPolicyBuilder
    )
    assert_type(TierPolicyBuilder(pulse.InterventionAction.WARN).promotion_slow_polls(3).build(), pulse.TierPolicy)
    groups = {"a*": pulse.GroupPolicy(max_tier=pulse.InterventionAction.WARN, preempt="await", exempt=False)}
    config = pulse.TierConfig(mode="observe", rollout_ratio=0.5, groups=groups, tier_policies=(policy,))
    assert_type(config.policy_for(1), pulse.TierPolicy)
    assert_type(config.with_tier_policy(pulse.InterventionAction.WARN, policy), pulse.TierConfig)
    assert_type(config.group_policy("a"), pulse.GroupPolicy)
    assert_type(config.groups, Mapping[str, pulse.GroupPolicy])
    assert_type(config.max_tier, pulse.InterventionAction)
    assert_type(pulse.ConfigProfile.CUSTOM.config(config), pulse.TierConfig)
    assert_type(pulse.ConfigError("x").faults, tuple[errors.ConfigFault, ...])
    manager.update_config(pulse.ConfigProfile.AGGRESSIVE)
    manager.update_config("aggressive")
    policy.promotion_threshold = 5  # type: ignore[misc]
    config.mode = "off"  # type: ignore[misc]
    pulse.TierConfig(mode="on")  # type: ignore[arg-type]
    pulse.TierConfig(max_tier="warn")  # type: ignore[arg-type]
    pulse.GroupPolicy(preempt="always")  # type: ignore[arg-type]
    TierPolicyBuilder("Warn")  # type: ignore[arg-type]
    pulse.TierPolicy("Warn", pulse.InterventionAction.WARN)  # type: ignore[call-arg]


def numbers(manager: pulse.TierManager, coro: GovernedCoroutine) -> None:
    assert_type(manager.config, pulse.TierConfig)
    assert_type(manager.worker_id, int)
    assert_type(manager.get_metrics(), Metrics)
    assert_type(manager.get_derived_metrics(), DerivedMetrics)
    assert_type(manager.get_worker_metrics(0), WorkerMetrics)
    assert_type(manager.get_all_worker_metrics(), dict[int, WorkerMetrics])
    assert_type(manager.groups(), tuple[GroupMetrics, ...])
    assert_type(manager.report().worst_polls, tuple[WorstPoll, ...])
    assert_type(process_report(), Report)
    workers: Mapping[int, WorkerMetrics] = process_report().workers
    del workers
    manager.get_metrics().polls = 1  # type: ignore[misc]
    awaitable: Coroutine[Any, Any, Any] = coro
    del awaitable
    kinds: list[type[Exception]] = [pulse.PulseError, pulse.ConfigError, errors.NotGovernedError]
    del kinds


class First:
    """Is a discipline."""

    def choose(self, flows: Sequence[Flow], /) -> Flow:
        """Take the first."""
        return flows[0]


def slow_queues(discipline: Discipline) -> None:
    """Queue objects of one type."""
    queue = SlowQueue[str](SchedulingAlgorithm.LOTTERY, max_size=5, seed=1, quantum_us=(4, 3, 2, 1))
    assert_type(queue.enqueue("a", priority=pulse.TaskPriority.LOW, group="g", holder=True, now_ns=5), bool)
    assert_type(queue.process_batch(3, now_ns=5), list[str])
    queue.charge((pulse.TaskPriority.LOW, "g"), 5)
    queue.algorithm = SlowQueueConfig().algorithm
    queue.algorithm = discipline
    queue.algorithm = First()
    assert_type(queue.flows()[0].group, str)
    queue.enqueue(5)  # type: ignore[arg-type]
    queue.algorithm = 5  # type: ignore[assignment]
    queue.enqueue("a", 5)  # type: ignore[call-arg]


@pulse.no_preempt()
def guarded(number: int) -> str:
    with pulse.no_preempt():
        return str(number)


@pulse.no_preempt()
async def guarded_later(number: int) -> str:
    return str(number)


async def sections() -> None:
    assert_type(guarded(1), str)
    assert_type(await guarded_later(1), str)
    guarded("1")  # type: ignore[arg-type]
