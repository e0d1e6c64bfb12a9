"""A forked child counts from zero and its sampler runs; its parent notices nothing."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable

import measuring
import offending

import asyncio_pulse as pulse
from asyncio_pulse.lowlevel import process_report

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
CONFIG = pulse.TierConfig(slow_poll_threshold_ms=20)


async def work(polls: int) -> None:
    for _ in range(polls - 1):
        await asyncio.sleep(0)


async def be_seen() -> None:
    # A pause of the whole machine, in which nothing is sampled, counts for as little as a step does.
    left, before = 0.4, time.thread_time()
    while left > 0:
        now = time.thread_time()
        left -= min(now - before, 0.005)
        before = now


def in_child(check: Callable[[], None]) -> None:
    """Fork; the check runs in the child, and its failure is the parent's."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            check()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, f"the child ended with {os.waitstatus_to_exitcode(status)}"


def check_child_with(loop: asyncio.AbstractEventLoop) -> None:
    manager = pulse.get_manager(loop=loop)
    assert manager.get_metrics().polls == 0
    assert manager.get_worker_metrics(0).polls == 0
    assert process_report().pid == os.getpid()
    assert process_report().loops == 0
    assert manager.report().worst_polls == ()
    loop.run_until_complete(work(10))
    measuring.wait_for_core_threads(measuring.CORE_THREADS)
    assert manager.get_metrics().polls == manager.get_worker_metrics(0).polls == 10
    loop.run_until_complete(be_seen())
    [worst] = manager.report().worst_polls
    assert (worst.sampled, worst.function) == (True, "be_seen")
    # The thread has another number than in the parent, by which its times are read.
    assert sys.platform != "linux" or [stall.stall_class == "unknown" for stall in manager.report().stalls] == [False]
    assert process_report().loops == 1
    pulse.uninstall(loop=loop)
    measuring.wait_for_core_threads(0)


def fork_outside_the_loop() -> None:
    loop = asyncio.new_event_loop()
    manager = pulse.install(CONFIG, loop=loop)
    loop.run_until_complete(work(7))
    in_child(lambda: check_child_with(loop))
    loop.run_until_complete(work(3))
    assert manager.get_metrics().polls == 10
    measuring.wait_for_core_threads(measuring.CORE_THREADS)
    pulse.uninstall(loop=loop)
    in_child(lambda: measuring.wait_for_core_threads(0))
    loop.close()


def check_child_inside(loop: asyncio.AbstractEventLoop) -> None:
    # asyncio itself says that no loop runs in the child.
    manager = pulse.get_manager(loop=loop)
    assert manager.get_metrics().polls == 0
    assert pulse.current().group == "forker"
    assert manager.get_metrics().tasks_alive == 2
    check_governs(pulse.new_event_loop())


async def fork_inside() -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0)
    in_child(lambda: check_child_inside(loop))
    await asyncio.sleep(0)


def fork_inside_a_task() -> None:
    async def main() -> None:
        await pulse.spawn(fork_inside(), group="forker")
        metrics = pulse.get_manager().get_metrics()
        assert (metrics.polls, metrics.tasks_alive) == (4, 1)

    pulse.run(main())


def fork_inside_and_go_on() -> None:
    """The child goes on with the very loop that it was forked in, which asyncio itself allows before 3.14."""
    if sys.version_info >= (3, 14):
        return

    async def main() -> None:
        manager = pulse.get_manager()
        await asyncio.sleep(0)
        child = os.fork()
        await asyncio.sleep(0)
        polls = manager.get_metrics().polls
        if child == 0:
            # The step in which it was forked, which ends in the child too.
            os._exit(0 if polls == 1 else 1)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert status == 0
        assert polls == 2

    pulse.run(main())


def fork_from_another_thread() -> None:
    loop = asyncio.new_event_loop()
    pulse.install(CONFIG, loop=loop)
    running, done = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    async def run_on() -> None:
        running.set()
        while not done.is_set():
            await asyncio.sleep(0)

    def check() -> None:
        # Its own thread does not exist here, so the loop cannot go on; another one can.
        assert pulse.get_manager(loop=loop).get_metrics().polls == 0
        other = pulse.new_event_loop()
        check_governs(other)

    def fork() -> None:
        running.wait()
        try:
            in_child(check)
        except BaseException as failure:
            failures.append(failure)
        finally:
            done.set()

    thread = threading.Thread(target=fork)
    thread.start()
    loop.run_until_complete(run_on())
    thread.join()
    assert not failures, failures
    pulse.uninstall(loop=loop)
    loop.close()


def check_governs(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_until_complete(work(5))
    assert pulse.get_manager(loop=loop).get_metrics().polls == 5
    pulse.uninstall(loop=loop)
    loop.close()


def fork_while_the_sampler_looks() -> None:
    """A poll that is overdue keeps the sampler busy: whatever it holds at the fork, the child does not miss."""

    async def main() -> None:
        for _ in range(measuring.rounds(short=10, long=200)):
            end = time.perf_counter() + 0.05
            while time.perf_counter() < end:
                pass
            in_child(lambda: None)

    pulse.run(main(), config=pulse.TierConfig(slow_poll_threshold_ms=1))


def shown(manager: pulse.TierManager) -> dict[str, object]:
    """Everything that counts up, and is more than it was at the start."""
    loop, queue, preemption = manager.report().loop_metrics[0], manager.report().slow_queue, manager.report().preemption
    metrics = manager.get_metrics()
    values: dict[str, object] = {
        **{name: getattr(metrics, name) for name in ("polls", "tasks", "violations", "preemptions")},
        "turns": loop.turns,
        "busy": loop.busy_ns // 50_000_000,
        "max_lag": loop.max_lag_ns // 50_000_000,
        "lags": loop.lag.count,
        "parked": queue.parked,
        "slices": queue.slices,
        "served": sum(queue.queue.served),
        "waits": queue.queue.waits.count,
        "refused": sum(preemption.refused.values()),
        "audit": len(manager.audit()),
        "tiers": [group.name for group in manager.groups() if group.tier or group.tier_reason],
        "offenders": len(manager.report().tasks),
        "worst": len(manager.report().worst_polls),
        "uptime": metrics.uptime_ns // 100_000_000,
        "others": manager.get_worker_metrics(1).polls,
    }
    return {name: value for name, value in values.items() if value}


def fork_after_much_was_shown() -> None:
    """Nothing of it is shown in the child, and what goes on there counts from zero."""
    other = asyncio.new_event_loop()

    async def main() -> None:
        manager = pulse.get_manager()
        # A loop that is gone, whose worker keeps its last statistics.
        pulse.install(loop=other)
        await asyncio.to_thread(other.run_until_complete, work(3))
        other.close()
        await offending.offend()
        await asyncio.gather(*(pulse.spawn(offending.break_the_budget(), group="offenders") for _ in range(4)))
        time.sleep(0.12)
        await asyncio.sleep(0)
        in_parent = set(shown(manager))
        assert {
            "polls",
            "turns",
            "busy",
            "parked",
            "served",
            "waits",
            "audit",
            "tiers",
            "uptime",
            "others",
        } <= in_parent

        def check() -> None:
            assert shown(manager) == {}, shown(manager)

        in_child(check)
        assert set(shown(manager)) >= in_parent

    pulse.run(main(), config=offending.CONFIG)


for scenario in (
    fork_after_much_was_shown,
    fork_outside_the_loop,
    fork_inside_a_task,
    fork_inside_and_go_on,
    fork_from_another_thread,
    fork_while_the_sampler_looks,
):
    scenario()
    measuring.wait_for_core_threads(0)
print("ok")
