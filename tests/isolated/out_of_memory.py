"""Wherever memory runs out: what the program does goes on, or ends in MemoryError, and nothing crashes."""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from asyncio_pulse import _core as core

try:
    import _testcapi
except ImportError:
    print("ok")
    sys.exit()

MOST_ALLOCATIONS = 80
ignored: list[object] = []
# Faults of ours are contained and told there.
sys.unraisablehook = ignored.append
logging.getLogger("asyncio_pulse.slow_queue").disabled = True

NUMBERS = {
    "poll_budget_us": (0, 0, 0, 0),
    "operation_budget": (4, 4, 4, 4),
    "slow_poll_threshold_us": 1_000_000,
    "cpu_sample_interval_us": 10,
    "stall_threshold_us": 1_000_000,
    "latency_target_us": 20_000,
    "max_groups": 2,
}


class Pause:
    def __await__(self) -> Iterator[None]:
        yield


wanted = KeyError("wanted")


async def work() -> int:
    await Pause()
    return 42


async def change_the_group() -> None:
    running = core.current()
    assert running is not None
    running.update(other)


async def fail() -> None:
    await Pause()
    raise wanted


governor = core.Governor(0)
governor.configure(**NUMBERS)  # type: ignore[arg-type]
factory = governor.task_factory(lambda loop, coro: coro)
no_group, options, other = (
    core.Options(priority=3),
    core.Options(group="one", priority=1),
    core.Options(group="two", budget_us=5),
)


def running(given: core.Options | None = None) -> Any:
    governed = factory(None, core.GovernedCoroutine(work(), given))
    governed.send(None)
    return governed


def drive(made: Any) -> None:
    """Drive a coroutine to its end, which lack of memory inside our own code must not change."""
    try:
        while True:
            made.send(None)
    except StopIteration:
        pass


async def call() -> int:
    return await core.GovernedCoroutine(work(), other)


async def checkpoints() -> None:
    for _ in range(6):
        await core.checkpoint()


started: Any = None


def throw() -> None:
    # A context manager would need memory of its own on the way out.
    try:  # noqa: SIM105
        started.throw(wanted)
    except KeyError:
        pass


def poll() -> None:
    try:  # noqa: SIM105
        started.send(None)
    except StopIteration:
        pass


def start_watchdog() -> None:
    with contextlib.suppress(RuntimeError):
        core.start_watchdog(50_000)


class LastFlow:
    def choose(self, flows: Any) -> Any:
        return flows[-1]


def use_a_queue() -> None:
    """Lose nothing: what is not taken is refused, what was taken comes out."""
    queue: core.SlowQueue[int] = core.SlowQueue("lottery", seed=1)
    taken, out = 0, 0
    try:
        for number in range(4):
            taken += queue.enqueue(number, group="abcd"[number], priority=number)
        out += len(queue.process_batch(1))
        queue.algorithm = LastFlow()
        out += len(queue.process_batch(1))
        queue.charge((0, "e"), 5)
        queue.flows(), queue.stats()
        queue.algorithm = "deficit_round_robin"
        out += len(queue.process_batch(1))
    finally:
        _testcapi.remove_mem_hooks()
        assert out + len(queue) == taken
        assert len(queue.drain()) == taken - out


CALLS: dict[str, Callable[[], object]] = {
    "slow queue": use_a_queue,
    "task": lambda: drive(factory(None, work())),
    "task with options": lambda: drive(factory(None, core.GovernedCoroutine(work(), options))),
    "call": lambda: drive(factory(None, call())),
    "checkpoints": lambda: drive(factory(None, checkpoints())),
    "poll": poll,
    "throw": throw,
    "close": lambda: [started.close()],
    "update": lambda: started.update(no_group),
    "update of the group": lambda: drive(factory(None, change_the_group())),
    "Options": lambda: core.Options(group="x", budget_us=5, max_tier=1),
    "Governor": lambda: core.Governor(1),
    "task_factory": lambda: governor.task_factory(None),
    "groups": governor.groups,
    "worst_polls": governor.worst_polls,
    "counters": governor.counters,
    "clock_info": core.clock_info,
    "account": lambda: [started.counters()],
    "budget": lambda: (started.budget, repr(started), started.operations_left),
    "set_wrappers": lambda: core.set_wrappers({}),
    "start_watchdog": start_watchdog,
    "measure": lambda: core.measure_native("counter", 1),
}

if sys.version_info < (3, 12):
    # CPython itself crashes there where the state of a new thread cannot be had.
    del CALLS["start_watchdog"]


def run_short_of_memory(call: Callable[[], object], allocation: int) -> None:
    """Run a call of which one allocation fails."""
    try:
        _testcapi.set_nomemory(allocation, allocation + 1)
        call()
    finally:
        _testcapi.remove_mem_hooks()


def lost_errors(make: Callable[[], Any]) -> int:
    """Count how often the exception of a coroutine is lost: CPython 3.11 itself loses it, too."""
    lost = 0
    for allocation in range(MOST_ALLOCATIONS):
        try:
            run_short_of_memory(lambda: drive(make()), allocation)
        except (MemoryError, KeyError):
            pass
        except SystemError:
            lost += 1
    return lost


warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
if sys.version_info < (3, 12):
    # Later versions lose some in the frames around it, more or fewer as the calls are nested.
    assert lost_errors(lambda: factory(None, fail())) <= lost_errors(fail)
for each in CALLS.values():
    for allocation in range(MOST_ALLOCATIONS):
        started = running(options)
        # SystemError: CPython loses an exception now and then, see above.
        with contextlib.suppress(MemoryError, KeyError, SystemError):
            run_short_of_memory(each, allocation)
        started.close()
        core.stop_watchdog()
# CPython 3.13 itself crashes in PyType_FromModuleAndSpec when a dict cannot grow.
for allocation in range(0, 400, 3) if sys.version_info < (3, 13) else ():
    kept = sys.modules.pop("asyncio_pulse._core")
    # The import system, too, is short of memory, and says so in many ways.
    with contextlib.suppress(Exception):
        run_short_of_memory(lambda: importlib.import_module("asyncio_pulse._core"), allocation)
    sys.modules["asyncio_pulse._core"] = kept
# What was told of contained faults holds frames, and those hold coroutines; so does a traceback.
wanted.__traceback__ = wanted.__context__ = None
started = None
ignored.clear()
gc.collect()
assert governor.counters()["tasks_alive"] == 0, governor.counters()["tasks_alive"]
assert governor.groups()
assert governor.worst_polls()
print("ok")
