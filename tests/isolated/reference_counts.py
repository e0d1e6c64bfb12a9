"""No public function of the core keeps or loses a reference, whether it succeeds or refuses."""

from __future__ import annotations

import contextlib
import itertools
import logging
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import measuring

from asyncio_pulse import _core as core
from asyncio_pulse.policy.group_names import KNOWN_WRAPPERS
from asyncio_pulse.runtime.task_class import task_type

ROUNDS = measuring.rounds(short=1_000, long=50_000)
# Where the interpreter's own caches and free lists have their size.
WARM_UP = 2_000
# What a dict or a free list may grow by, and less than one object for each round.
ALLOWED_BYTES = 4_000 + 6 * ROUNDS
ATTEMPTS = 3
# Not immortal in any version, so that a reference too many or too few shows.
GROUP_NAME = "a group of " + str(len(sys.argv))
WRAPPERS = dict(KNOWN_WRAPPERS)
NUMBERS = {
    "poll_budget_us": (50, 50, 50, 50),
    "operation_budget": (4, 4, 4, 4),
    "slow_poll_threshold_us": 1_000_000,
    "cpu_sample_interval_us": 10,
    "stall_threshold_us": 1_000_000,
    "latency_target_us": 20_000,
    "max_groups": 4,
}


class Pause:
    def __await__(self) -> Iterator[None]:
        yield


async def work(polls: int = 2) -> None:
    for _ in range(polls):
        await Pause()


def earlier(loop: object, coro: Any, **keywords: object) -> Any:
    return coro


governor = core.Governor(0)
governor.configure(**NUMBERS)  # type: ignore[arg-type]
factory = governor.task_factory(earlier)
options = core.Options(priority=1, group=GROUP_NAME, budget_us=77, preemptible=True, max_tier=2, code=work.__code__)
no_group = core.Options(priority=2, max_tier=1)
other_options = core.Options(budget_us=88)
shared = factory(None, work(10**9))
shared.send(None)
ITEM = object()
shared_queue: core.SlowQueue[Any] = core.SlowQueue()


def drive(governed: Any) -> None:
    with contextlib.suppress(StopIteration):
        while True:
            governed.send(None)


async def spend() -> None:
    for _ in range(5):
        await core.checkpoint()
        core.budget_spent(cost=2)
        core.current()


async def call_inside() -> None:
    await core.GovernedCoroutine(work(), options)


async def burn() -> None:
    while not core.budget_spent():
        pass
    # Without a number each time, which would be memory to trace.
    for _ in itertools.repeat(None, 5_000):
        pass


async def change_the_group() -> None:
    running = core.current()
    assert running is not None
    running.update(options)


def throw_in() -> None:
    governed = factory(None, work())
    governed.send(None)
    governed.throw(KeyError, KeyError("x"), None)


def every_attribute() -> None:
    for name in dir(shared):
        getattr(shared, name)
    for name in dir(options):
        getattr(options, name)
    repr(shared), shared.counters(), governor.attached, governor.worker_id
    factory.governor, factory.earlier, shared.group.name, shared.group.explicit  # noqa: B018


def groups_come_and_go() -> None:
    for name in "abcdefghij":
        drive(
            core.Governor.task_factory(governor, earlier)(
                None, core.GovernedCoroutine(work(), core.Options(group=name))
            )
        )


def queue_of(*algorithm: Any) -> core.SlowQueue[Any]:
    queue: core.SlowQueue[Any] = core.SlowQueue(*algorithm, max_size=4)
    for number in range(6):
        queue.enqueue(ITEM, priority=number % 4, group=GROUP_NAME, urgent=number == 1, holder=number == 2)
    return queue


def use_the_queue(*algorithm: Any) -> None:
    queue = queue_of(*algorithm)
    queue.process_batch(2)
    queue.charge((2, GROUP_NAME), 5)
    queue.algorithm = "lottery"
    queue.promote(ITEM), queue.remove(ITEM), queue.flows(), queue.stats(), queue.longest_wait_ns()
    queue.algorithm, queue.queued_by_priority, len(queue)
    queue.drain()
    queue.charge((1, "charged alone" + GROUP_NAME), 5)


def queue_in_a_cycle() -> None:
    queue = queue_of()
    queue.remove(ITEM)
    queue.enqueue(queue)
    queue.drain()


class FirstFlow:
    def choose(self, flows: Any) -> Any:
        return flows[0]


class NoFlow:
    def choose(self, flows: Any) -> Any:
        return GROUP_NAME


class Raises:
    def choose(self, flows: Any) -> Any:
        raise LookupError(GROUP_NAME)


first_flow, no_flow, raises = FirstFlow(), NoFlow(), Raises()
logging.getLogger("asyncio_pulse.slow_queue").disabled = True

CALLS: dict[str, Callable[[], object]] = {
    "SlowQueue": use_the_queue,
    "SlowQueue, dropped full": queue_of,
    "SlowQueue, cycle": queue_in_a_cycle,
    "SlowQueue, plugged in": lambda: use_the_queue(first_flow),
    "SlowQueue, nonsense": lambda: use_the_queue(no_flow),
    "SlowQueue, raises": lambda: use_the_queue(raises),
    "SlowQueue, refused": lambda: queue_of(ITEM),
    "enqueue, refused": lambda: shared_queue.enqueue(ITEM, group=GROUP_NAME, priority=9),
    "enqueue, wrong time": lambda: shared_queue.enqueue(ITEM, group=GROUP_NAME, now_ns=-1),
    "charge, refused": lambda: shared_queue.charge((0, GROUP_NAME), -1),
    "Options": lambda: core.Options(priority=1, group=GROUP_NAME, budget_us=5, code=work.__code__),
    "Options, refused": lambda: core.Options(priority=9, group=GROUP_NAME),
    "Options, wrong group": lambda: core.Options(group=5),  # type: ignore[arg-type]
    "GovernedCoroutine, closed": lambda: core.GovernedCoroutine(work(), options).close(),
    "GovernedCoroutine, refused": lambda: core.GovernedCoroutine(5),  # type: ignore[arg-type]
    "GovernedCoroutine, wrong options": lambda: core.GovernedCoroutine(shared, 5),  # type: ignore[arg-type]
    "outside, driven": lambda: drive(core.GovernedCoroutine(work())),
    "task, driven": lambda: drive(factory(None, work())),
    "task with options, driven": lambda: drive(factory(None, core.GovernedCoroutine(work(), options))),
    "task, dropped": lambda: factory(None, work()).send(None),
    "task, closed": lambda: factory(None, work()).close(),
    "task, thrown into": throw_in,
    "task, sent to after its end": lambda: [drive(made := factory(None, work())), made.send(None)],
    "call inside": lambda: drive(factory(None, call_inside())),
    "checkpoint and budget_spent": lambda: drive(factory(None, spend())),
    "worst poll": lambda: drive(factory(None, burn())),
    "checkpoint, refused": lambda: core.checkpoint(-1),
    "budget_spent, refused": lambda: core.budget_spent(price=1),  # type: ignore[call-arg]
    "checkpoint, await": lambda: core.checkpoint().__await__(),
    "update": lambda: [shared.update(no_group), shared.update(other_options)],
    "update of the group": lambda: drive(factory(None, change_the_group())),
    "update, refused": lambda: shared.update(None),
    "attributes": every_attribute,
    "foreign attribute": lambda: shared.nothing_like_it,
    "Governor": lambda: core.Governor(3).configure(**NUMBERS),  # type: ignore[arg-type]
    "Governor, refused": lambda: core.Governor("x"),  # type: ignore[arg-type]
    "configure, refused": lambda: governor.configure(**(NUMBERS | {"max_groups": 0})),  # type: ignore[arg-type]
    "counters": governor.counters,
    "groups": governor.groups,
    "groups come and go": groups_come_and_go,
    "worst_polls": governor.worst_polls,
    "start_anew": governor.start_anew,
    "task_factory": lambda: governor.task_factory(earlier),
    "task_factory, refused": lambda: governor.task_factory(5),  # type: ignore[arg-type]
    "factory, no coroutine": lambda: factory(None, GROUP_NAME, name=GROUP_NAME),
    "factory, refused": lambda: factory(GROUP_NAME),
    "detach": lambda: core.Governor(0).detach(),
    "clock_info": core.clock_info,
    "measure_native": lambda: core.measure_native("counter", 1),
    "measure_native, refused": lambda: core.measure_native("tea", 1),
    "set_wrappers": lambda: core.set_wrappers(WRAPPERS),
    "set_wrappers, refused": lambda: core.set_wrappers([]),  # type: ignore[arg-type]
    "set_task_type": lambda: core.set_task_type(task_type()),
    "start_watchdog, refused": lambda: core.start_watchdog(0),
    "stop_watchdog": core.stop_watchdog,
    "after_fork_in_child": core.after_fork_in_child,
    "gc_callback": lambda: [core.gc_callback("start", {}), core.gc_callback("stop", {})],
    "current": core.current,
}


def repeat(call: Callable[[], object], times: int) -> None:
    for _ in range(times):
        with contextlib.suppress(Exception):
            call()


def held() -> dict[str, int]:
    """Count references to what the calls are given, and the memory in use."""
    counted = {
        "group name": GROUP_NAME,
        "wrappers": WRAPPERS,
        "code": work.__code__,
        "earlier": earlier,
        "options": options,
        "factory": factory,
        "governor": governor,
        "shared": shared,
        "item": ITEM,
        "first flow": first_flow,
        "task type": task_type(),
    }
    counts = {name: sys.getrefcount(each) for name, each in counted.items()}
    total = getattr(sys, "gettotalrefcount", lambda: 0)()
    return measuring.core_objects() | counts | {"None": sys.getrefcount(None), "all": total}


def kept_by(call: Callable[[], None]) -> tuple[dict[str, int], int]:
    """Count the references and the bytes that a number of calls leave behind."""
    before, bytes_before = held(), tracemalloc.get_traced_memory()[0]
    repeat(call, ROUNDS)
    after, bytes_after = held(), tracemalloc.get_traced_memory()[0]
    changed = {key: after[key] - before[key] for key in before if abs(after[key] - before[key]) > ROUNDS // 2}
    return changed, bytes_after - bytes_before


tracemalloc.start()
for name, call in CALLS.items():
    repeat(call, WARM_UP)
    # What leaks does so every time; a cache of the interpreter's may happen to grow in one of them.
    for _ in range(ATTEMPTS):
        changed, grown = kept_by(call)
        assert not changed, f"{name}: references after {ROUNDS} calls: {changed}"
        if not measuring.MEMORY_IS_TOLD or grown < ALLOWED_BYTES:
            break
    else:
        raise AssertionError(f"{name}: {grown} bytes more, and so in each of {ATTEMPTS} attempts")
shared.close()
print("ok")
