"""Violations, slow polls and the worst polls of a real loop: who, where, and why."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse.metrics import GroupMetrics, WorstPoll
from tests.support import traffic
from tests.support.loops import LoopFactory

BUDGET_US = 5_000
SLOW_MS = 60_000
# A suspension divides a poll, so nothing is suspended where polls are counted.
CONFIG = pulse.TierConfig(poll_budget_us=BUDGET_US, slow_poll_threshold_ms=SLOW_MS, preempt="off")
# A plain poll may be kept off the CPU by other processes for less than this.
SLOW_CONFIG = pulse.TierConfig(poll_budget_us=10_000_000, slow_poll_threshold_ms=100)
# A poll that lasts this long is seen by the sampler, which looks nine times a second.
SEEN_S = 0.4


def burn(budgets: float) -> None:
    """Use the CPU for so many budgets."""
    traffic.burn(budgets * BUDGET_US / 1000)


def burn_until_seen() -> None:
    # A pause of the whole machine, in which the sampler stands still, too, counts for as little as a step does.
    left, before = SEEN_S, time.thread_time()
    while left > 0:
        now = time.thread_time()
        left -= min(now - before, SEEN_S / 100)
        before = now


BURN_LINES = range(burn_until_seen.__code__.co_firstlineno, burn_until_seen.__code__.co_firstlineno + 8)


@contextlib.contextmanager
def governed(
    factory: LoopFactory, config: pulse.TierConfig = CONFIG
) -> Iterator[tuple[asyncio.AbstractEventLoop, pulse.TierManager]]:
    loop = factory()
    try:
        yield loop, pulse.install(config, loop=loop)
    finally:
        pulse.uninstall(loop=loop)
        loop.close()


def run(factory: LoopFactory, main: Coroutine[Any, Any, Any], config: pulse.TierConfig = CONFIG) -> pulse.TierManager:
    with governed(factory, config) as (loop, manager):
        loop.run_until_complete(main)
        return manager


def group(manager: pulse.TierManager, name: str) -> GroupMetrics:
    [found] = [each for each in manager.groups() if each.name.rpartition(".")[2] == name]
    return found


def worst(manager: pulse.TierManager, group_name: str) -> WorstPoll:
    [found] = [poll for poll in manager.report().worst_polls if poll.group.rpartition(".")[2] == group_name]
    return found


async def burn_in_turns(heavy: int, light: int) -> None:
    for _ in range(heavy):
        burn(3)
        await asyncio.sleep(0)
    for _ in range(light):
        await asyncio.sleep(0)


def test_exactly_the_polls_over_budget_are_violations(loop_factory: LoopFactory) -> None:
    manager = run(loop_factory, burn_in_turns(heavy=4, light=20))
    metrics = manager.get_metrics()
    assert (metrics.polls, metrics.violations, metrics.slow_polls) == (25, 4, 0)
    assert metrics.voluntary_yields == 24
    assert metrics.cpu_time_ns >= 4 * 3 * BUDGET_US * 1000
    assert manager.get_derived_metrics().violation_ratio == 4 / 25


@pytest.mark.timing  # a virtual machine may count as used by a poll what it was not given
def test_a_task_is_judged_by_the_budget_of_its_priority(loop_factory: LoopFactory) -> None:
    async def once(budgets: float) -> None:
        burn(budgets)

    async def main() -> None:
        for priority in pulse.TaskPriority:
            for budgets in (0.7, 1.5, 3.0, 6.0):
                await pulse.spawn(once(budgets), group=priority.name, priority=priority)

    manager = run(loop_factory, main())
    assert {name: group(manager, name).violations for name in ("CRITICAL", "HIGH", "NORMAL", "LOW")} == {
        "CRITICAL": 1,
        "HIGH": 2,
        "NORMAL": 3,
        "LOW": 4,
    }


def test_a_task_may_have_a_budget_of_its_own(loop_factory: LoopFactory) -> None:
    async def once() -> None:
        burn(2)

    async def main() -> None:
        await pulse.spawn(once(), group="generous", budget_us=BUDGET_US * 1000)
        await pulse.spawn(once(), group="strict", budget_us=BUDGET_US // 2)

    manager = run(loop_factory, main())
    assert (group(manager, "generous").violations, group(manager, "strict").violations) == (0, 1)


def test_a_new_configuration_judges_the_next_poll(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        manager = pulse.get_manager()
        burn(2)
        await asyncio.sleep(0)
        manager.update_config(pulse.TierConfig(poll_budget_us=BUDGET_US * 1000))
        burn(2)
        await asyncio.sleep(0)
        burn(2)

    # The poll that changes the configuration ends under the new one.
    assert run(loop_factory, main()).get_metrics().violations == 1


def test_sleeping_is_slow_and_no_violation(loop_factory: LoopFactory) -> None:
    async def sleepy() -> None:
        time.sleep(0.1)

    async def main() -> None:
        await asyncio.create_task(sleepy())

    config = pulse.TierConfig(poll_budget_us=50_000, slow_poll_threshold_ms=20)
    found = group(run(loop_factory, main(), config), "sleepy")
    assert (found.polls, found.violations, found.slow_polls) == (1, 0, 1)
    assert found.wall_time_ns > 0.09e9
    assert found.cpu_time_ns < found.wall_time_ns / 2


def test_a_poll_is_slow_by_its_wall_time(loop_factory: LoopFactory) -> None:
    async def sleep_in_turns() -> None:
        for _ in range(2):
            time.sleep(0.15)
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)

    manager = run(loop_factory, sleep_in_turns(), SLOW_CONFIG)
    metrics = manager.get_metrics()
    assert (metrics.violations, metrics.slow_polls, metrics.polls) == (0, 2, 8)
    assert manager.get_derived_metrics().slow_poll_ratio == 2 / 8


def test_what_a_nested_poll_uses_is_not_its_outer_one_s(loop_factory: LoopFactory) -> None:
    @pulse.governed(group="inner")
    async def inner() -> None:
        burn(3)

    async def outer() -> None:
        await inner()

    async def main() -> None:
        await asyncio.create_task(outer())

    manager = run(loop_factory, main())
    assert (group(manager, "inner").violations, group(manager, "outer").violations) == (1, 0)
    assert group(manager, "outer").cpu_time_ns < group(manager, "inner").cpu_time_ns / 2
    assert manager.get_metrics().violations == 1


def test_a_loop_inside_a_poll_is_counted_there_alone() -> None:
    async def inner() -> None:
        burn(20)

    def run_inner() -> None:
        asyncio.events._set_running_loop(None)
        with governed(asyncio.new_event_loop) as (loop, manager):
            loop.run_until_complete(inner())
            inner_managers.append(manager)

    async def outer() -> None:
        running = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        asyncio.tasks._leave_task(running, task)
        run_inner()
        asyncio.events._set_running_loop(running)
        asyncio.tasks._enter_task(running, task)

    inner_managers: list[pulse.TierManager] = []
    # Making a loop takes its time, too, on a busy machine more than a budget.
    roomy = pulse.TierConfig(poll_budget_us=10 * BUDGET_US, slow_poll_threshold_ms=SLOW_MS)
    manager = run(asyncio.new_event_loop, outer(), roomy)
    assert inner_managers[0].get_metrics().violations == 1
    assert manager.get_metrics().violations == 0


class Node:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


def test_garbage_collection_is_subtracted_and_shown(loop_factory: LoopFactory) -> None:
    async def collect() -> None:
        gc.collect()

    async def main() -> None:
        await asyncio.create_task(collect())

    config = pulse.TierConfig(poll_budget_us=2_000, slow_poll_threshold_ms=1)
    gc.collect()
    gc.disable()
    try:
        kept = [Node() for _ in range(200_000)]
        manager = run(loop_factory, main(), config)
    finally:
        gc.enable()
    assert len(kept) == 200_000
    found = group(manager, "collect")
    # Nearly the whole poll was the collector's.
    assert found.gc_time_ns > found.wall_time_ns * 0.9
    assert (found.violations, found.slow_polls) == (0, 1)
    assert worst(manager, "collect").gc_ns > 0
    assert manager.get_metrics().gc_time_ns == found.gc_time_ns


def test_a_violation_beside_a_collection_is_still_one(loop_factory: LoopFactory) -> None:
    async def collect_and_burn() -> None:
        gc.collect()
        burn(10)

    async def main() -> None:
        await asyncio.create_task(collect_and_burn())

    # Then the one within is short: the time that it is kept off the CPU counts for it, too.
    gc.collect()
    found = group(run(loop_factory, main()), "collect_and_burn")
    assert found.violations == 1
    assert found.gc_time_ns > 0


def test_a_worst_poll_tells_group_task_and_place(loop_factory: LoopFactory) -> None:
    async def handler() -> None:
        burn(3)

    async def main() -> None:
        await pulse.spawn(handler(), name="request 7", group="orders")

    manager = run(loop_factory, main())
    poll = worst(manager, "orders")
    assert (poll.group, poll.task, poll.filename) == ("orders", "request 7", __file__)
    assert poll.function == handler.__qualname__
    assert poll.line == handler.__code__.co_firstlineno
    assert (poll.count, poll.sampled) == (1, False)
    assert poll.wall_ns >= poll.cpu_ns >= 2.9 * BUDGET_US * 1000


def test_one_place_is_one_entry_and_its_longest_poll_is_shown(loop_factory: LoopFactory) -> None:
    took: list[float] = []

    async def handler(budgets: float) -> None:
        began = time.perf_counter()
        burn(budgets)
        took.append(time.perf_counter() - began)

    async def main() -> None:
        for number, budgets in enumerate((2, 6, 3)):
            await pulse.spawn(handler(budgets), name=f"request {number}", group="orders")
        await pulse.spawn(handler(2), group="other route")

    manager = run(loop_factory, main())
    poll = worst(manager, "orders")
    # The second one, unless the machine paused in another.
    assert (poll.task, poll.count) == (f"request {took.index(max(took[:3]))}", 3)
    assert poll.total_wall_ns > poll.wall_ns > poll.total_wall_ns / 3
    assert {each.group for each in manager.report().worst_polls} == {"orders", "other route"}


def test_the_number_of_places_is_bounded_and_the_worst_stay(loop_factory: LoopFactory) -> None:
    async def handler(budgets: float) -> None:
        burn(budgets)

    async def main() -> None:
        for number in range(70):
            budgets = 12 if number in (0, 69) else 0.4
            await pulse.spawn(handler(budgets), group=f"route {number}")

    manager = run(loop_factory, main(), pulse.TierConfig(poll_budget_us=1000))
    groups = [poll.group for poll in manager.report().worst_polls]
    assert len(groups) == 64
    # Where the machine paused, a third one may be as long.
    assert {"route 0", "route 69"} <= set(groups)


def test_the_name_of_a_task_runs_no_code_of_the_program(loop_factory: LoopFactory) -> None:
    class Secretive(asyncio.Task[Any]):
        def get_name(self) -> str:
            raise LookupError("no name for you")

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **keywords: Any) -> asyncio.Task[Any]:
        made.append(Secretive(coro, loop=loop))
        return made[-1]

    def other_loop() -> asyncio.AbstractEventLoop:
        loop = loop_factory()
        loop.set_task_factory(factory)
        return loop

    made: list[Secretive] = []
    manager = run(other_loop, burn_in_turns(heavy=1, light=0))
    assert worst(manager, "burn_in_turns").task == asyncio.Task.get_name(made[0])
    assert manager.get_metrics().internal_errors == 0


def test_an_exception_passes_an_over_budget_poll_untouched(loop_factory: LoopFactory) -> None:
    async def fail() -> None:
        burn(3)
        raise KeyError("wanted")

    async def main() -> None:
        with pytest.raises(KeyError, match="wanted") as caught:
            await asyncio.create_task(fail())
        assert [entry.name for entry in caught.traceback][-1] == "fail"

    assert group(run(loop_factory, main()), "fail").violations == 1


def caught_running(
    factory: LoopFactory, block: Callable[[], object], config: pulse.TierConfig = SLOW_CONFIG
) -> WorstPoll:
    """Run a block that lasts, and give the poll in which the sampler saw it."""

    async def handler() -> None:
        block()

    async def main() -> None:
        await pulse.spawn(handler(), group="lasting", name="the task")

    manager = run(factory, main(), config)
    [poll] = [poll for poll in manager.report().worst_polls if poll.group == "lasting"]
    assert poll.sampled
    assert poll.task == "the task"
    outermost = poll.stack[-1]
    assert (outermost.function, outermost.filename) == (handler.__qualname__, __file__)
    assert outermost.line == handler.__code__.co_firstlineno + 1
    assert (poll.function, poll.filename, poll.line) == (
        poll.stack[0].function,
        poll.stack[0].filename,
        poll.stack[0].line,
    )
    return poll


def test_the_sampler_tells_function_and_line_of_what_burns(loop_factory: LoopFactory) -> None:
    poll = caught_running(loop_factory, burn_until_seen)
    assert (poll.function, poll.filename) == ("burn_until_seen", __file__)
    assert poll.line in BURN_LINES
    assert len(poll.stack) == 2


def test_it_does_so_off_the_main_thread_too(loop_factory: LoopFactory) -> None:
    found: list[WorstPoll] = []
    thread = threading.Thread(target=lambda: found.append(caught_running(loop_factory, burn_until_seen)))
    thread.start()
    thread.join()
    assert [poll.function for poll in found] == ["burn_until_seen"]


@pytest.mark.timing  # the machine may pause for as long as the call lasts
def test_a_call_that_lets_go_of_the_gil_is_seen(loop_factory: LoopFactory) -> None:
    def block() -> None:
        time.sleep(SEEN_S)

    poll = caught_running(loop_factory, block)
    assert (poll.function, poll.line) == (block.__qualname__, block.__code__.co_firstlineno + 1)
    assert poll.cpu_ns < poll.wall_ns / 2


def rounds_until_seen(work: Callable[[int], object]) -> int:
    """Find how many rounds of some work last long enough to be seen, were the processor ours alone."""
    rounds = 1
    while True:
        start = time.thread_time()
        work(rounds)
        lasted = time.thread_time() - start
        if lasted > SEEN_S / 20:
            return int(rounds * SEEN_S / lasted) + 1
        rounds *= 2


@pytest.mark.timing
def test_a_long_sum_that_holds_the_gil_is_seen(loop_factory: LoopFactory) -> None:
    rounds = rounds_until_seen(lambda rounds: sum(range(rounds)))

    def block() -> None:
        sum(range(rounds))

    assert caught_running(loop_factory, block).function == block.__qualname__


@pytest.mark.timing
def test_a_long_match_that_holds_the_gil_is_seen(loop_factory: LoopFactory) -> None:
    pattern = re.compile("(?:a|b|ab)*c")
    rounds = rounds_until_seen(lambda rounds: [pattern.match("a" * 2000) for _ in range(rounds)])
    text = "a" * 2000

    def block() -> None:
        for _ in range(rounds):
            pattern.match(text)

    assert caught_running(loop_factory, block).function == block.__qualname__


def test_a_deep_stack_is_cut(loop_factory: LoopFactory) -> None:
    def dive(depth: int) -> None:
        if depth:
            dive(depth - 1)
        else:
            burn_until_seen()

    async def main() -> None:
        dive(100)

    manager = run(loop_factory, main(), SLOW_CONFIG)
    poll = worst(manager, "main")
    assert (poll.function, len(poll.stack)) == ("burn_until_seen", 48)


def test_the_stack_of_a_nested_call_begins_at_the_call(loop_factory: LoopFactory) -> None:
    @pulse.governed(group="inner")
    async def inner() -> None:
        burn_until_seen()

    async def outer() -> None:
        await asyncio.sleep(0)
        await inner()

    async def main() -> None:
        await asyncio.create_task(outer())

    poll = worst(run(loop_factory, main(), SLOW_CONFIG), "inner")
    assert [frame.function for frame in poll.stack] == ["burn_until_seen", inner.__qualname__]


def test_two_loops_of_one_thread_are_each_sampled_past_their_own_threshold() -> None:
    patient = pulse.TierConfig(poll_budget_us=10_000_000, slow_poll_threshold_ms=60_000)

    async def handler() -> None:
        burn_until_seen()

    with governed(asyncio.new_event_loop, SLOW_CONFIG) as (loop, manager):
        loop.run_until_complete(asyncio.sleep(0))
        with governed(asyncio.new_event_loop, patient) as (other_loop, other_manager):
            other_loop.run_until_complete(asyncio.sleep(0))
            other_loop.run_until_complete(handler())
        loop.run_until_complete(handler())
    assert worst(manager, "handler").sampled
    assert other_manager.report().worst_polls == ()


def test_a_poll_below_its_loop_s_threshold_is_not_sampled_whatever_ran_in_the_thread_before() -> None:
    patient = pulse.TierConfig(poll_budget_us=BUDGET_US, slow_poll_threshold_ms=60_000)
    run(asyncio.new_event_loop, asyncio.sleep(0), SLOW_CONFIG)

    async def handler() -> None:
        burn_until_seen()

    assert not worst(run(asyncio.new_event_loop, handler(), patient), "handler").sampled


def test_the_sampler_runs_no_python_code(loop_factory: LoopFactory) -> None:
    """A collection on its thread would run finalizers there, and could wait for a lock whose holder waits for it."""
    threads = set()

    def watch(phase: str, info: dict[str, int]) -> None:
        threads.add(threading.get_ident())

    thresholds = gc.get_threshold()
    gc.callbacks.append(watch)
    gc.set_threshold(1)
    try:
        caught_running(loop_factory, burn_until_seen)
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(watch)
    assert threads == {threading.get_ident()}
