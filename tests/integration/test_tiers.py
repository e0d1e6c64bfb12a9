"""Tiers on real loops: ordinary traffic is left alone, what starves others is found, and changes harm nobody."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import _core
from asyncio_pulse.policy.tier_config import TierPolicyBuilder
from asyncio_pulse.policy.tier_policy import BALANCED_TIERS, InterventionAction
from asyncio_pulse.runtime.decisions import TierDecisions
from tests.support.loops import LoopFactory
from tests.support.running import PROGRAMS
from tests.support.traffic import arrive, burn, highest_tier, polls_of

MONITOR, WARN, YIELD, _ = InterventionAction


def governed(
    main: Callable[[], Coroutine[Any, Any, None]], loop_factory: LoopFactory, config: pulse.TierConfig | None = None
) -> pulse.TierManager:
    """Run on a governed loop; give what is known of it afterwards."""
    managers = []

    async def start() -> None:
        managers.append(pulse.get_manager())
        await main()

    pulse.run(start(), config=config, loop_factory=loop_factory)
    return managers[0]


# Ordinary traffic.


@pytest.mark.timing
@pytest.mark.parametrize(
    ("ms", "one_in", "per_second"), [(3, 1, 100), (3, 200, 2000)], ids=["every poll 3 ms", "one poll in 200 3 ms"]
)
def test_ordinary_traffic_is_left_alone(ms: float, one_in: int, per_second: float, loop_factory: LoopFactory) -> None:
    async def main() -> None:
        await arrive(polls_of(ms, one_in=one_in), "GET /", per_second=per_second, seconds=2.5)

    manager = governed(main, loop_factory)
    [group] = [group for group in manager.groups() if group.name == "GET /"]
    # There was something to judge.
    assert group.violations >= group.tasks / one_in * 0.9
    assert highest_tier(manager) <= WARN


@pytest.mark.timing
def test_collections_are_not_held_against_those_in_whose_polls_they_happen(loop_factory: LoopFactory) -> None:
    # Collections have to be long enough to be looked at: what is overdue is watched for 30 ms.
    kept = [[number] for number in range(2_000_000)]

    async def collect(number: int) -> None:
        gc.collect()

    async def main() -> None:
        await asyncio.gather(
            arrive(collect, "GET /unlucky", per_second=1.5, seconds=3),
            arrive(polls_of(0.2), "GET /", per_second=100, seconds=3),
        )

    manager = governed(main, loop_factory, pulse.TierConfig(stall_threshold_ms=10))
    assert highest_tier(manager) <= WARN
    assert manager.get_metrics().gc_time_ns > manager.get_metrics().cpu_time_ns / 10
    assert "collecting" in {stall.stall_class for stall in manager.report().stalls}
    assert len(kept) == 2_000_000


@contextlib.contextmanager
def cpu_bound_thread(numbers: int) -> Iterator[None]:
    """Have another thread want the GIL all the time, and keep it while it adds up so many numbers."""
    over = threading.Event()

    def compute_in_another_thread() -> None:
        while not over.is_set():
            sum(range(numbers))

    thread = threading.Thread(target=compute_in_another_thread)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def mixed_traffic() -> None:
    await asyncio.gather(
        arrive(polls_of(0.3), "GET /", per_second=30, seconds=2.5),
        arrive(polls_of(1.9), "GET /longer", per_second=15, seconds=2.5),
    )


@pytest.mark.timing
def test_a_cpu_bound_thread_is_not_held_against_tasks(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        with cpu_bound_thread(1_000):
            await mixed_traffic()

    assert highest_tier(governed(main, loop_factory)) <= WARN


@pytest.mark.timing
def test_a_thread_that_keeps_the_gil_is_not_held_against_tasks_but_named(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        with cpu_bound_thread(10_000_000):
            await mixed_traffic()

    manager = governed(main, loop_factory)
    assert highest_tier(manager) <= WARN
    culprits = [stall.culprit for stall in manager.report().stalls if stall.stall_class == "gil"]
    assert any("compute_in_another_thread" in culprit for culprit in culprits), manager.report().stalls


@pytest.mark.timing
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not tell why a thread was off the CPU")
@pytest.mark.parametrize("ms", [15, 60, 300])
def test_a_handler_that_blocks_is_warned_of(ms: int, loop_factory: LoopFactory) -> None:
    async def block() -> None:
        time.sleep(ms / 1000)

    async def main() -> None:
        for _ in range(max(3, 600 // ms)):
            await pulse.spawn(block(), group="GET /blocks")
            await asyncio.sleep(0.001)

    manager = governed(main, loop_factory)
    [group] = [group for group in manager.groups() if group.name == "GET /blocks"]
    assert (group.tier, group.violations) == (WARN, 0)
    assert "slow polls" in manager.audit()[0].reason


def verdicts_of(
    block: Callable[[], Coroutine[Any, Any, None]], polls: int, loop_factory: LoopFactory
) -> list[tuple[bool, bool]]:
    """Whether each poll of one group counted as a violation, and as slow."""
    seen: list[tuple[bool, bool]] = []

    async def main() -> None:
        for _ in range(polls):
            await pulse.spawn(block(), group="GET /blocks")
            await asyncio.sleep(0.001)

    def note(self: object, coro: object, *facts: Any) -> None:
        seen.append((facts[4], facts[5]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TierDecisions, "on_bad_poll", note)
        governed(main, loop_factory)
    return seen


@pytest.mark.timing
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not tell why a thread was off the CPU")
def test_the_system_is_not_asked_each_time_why_a_poll_was_slow(loop_factory: LoopFactory) -> None:
    """GIVEN a group that blocks; WHEN asking for each poll would cost too much; THEN its polls are expected to block."""

    async def block() -> None:
        time.sleep(0.011)

    seen = verdicts_of(block, 400, loop_factory)
    assert len(seen) >= 390
    # On a busy machine some of them lack a processor, too. Without an expectation it would be a few per cent.
    assert seen.count((False, True)) >= 0.6 * len(seen)


@pytest.mark.timing
def test_a_poll_that_counts_by_its_cpu_time_does_not_count_by_blocking(loop_factory: LoopFactory) -> None:
    async def block() -> None:
        burn(4)
        time.sleep(0.02)

    seen = verdicts_of(block, 20, loop_factory)
    assert seen.count((True, False)) >= 15


CPU_CGROUPS = Path("/sys/fs/cgroup/cpu")


@contextlib.contextmanager
def child_cgroup() -> Iterator[Path]:
    cgroup = CPU_CGROUPS / f"pulse-test-{os.getpid()}"
    try:
        cgroup.mkdir()
        if not (cgroup / "cpu.cfs_quota_us").exists():
            cgroup.rmdir()
            pytest.skip("there is no CPU quota of cgroups, version 1, here")
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        yield cgroup
    finally:
        cgroup.rmdir()


@pytest.mark.timing
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_throttled_process_is_not_held_against_its_tasks(loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    script = PROGRAMS / "throttled.py"

    with child_cgroup() as cgroup:
        done = subprocess.run(
            [sys.executable, str(script), str(cgroup), loop], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        seen = json.loads(done.stdout)
        assert seen["errors"] == 0
        # It was throttled in the middle of polls, and that was told apart from computing. (The watchdog stands still with
        # the rest of the process, so that it seldom catches such a stall.)
        assert seen["slow_polls"] > 0
        assert seen["cpu_ratio"] < 0.9
        assert seen["tier"] <= WARN


# What starves the others.

# Everything as it is by default, but for how long an account stays at least.
SOONER = pulse.TierConfig(
    tier_policies=tuple(TierPolicyBuilder(tier).demotion_min_duration_ms(1000).build() for tier in BALANCED_TIERS)
)


@pytest.mark.timing
def test_a_route_that_burns_is_found_and_let_go_when_it_is_mended(loop_factory: LoopFactory) -> None:
    burned = 0

    async def sometimes(number: int) -> None:
        nonlocal burned
        if number % 10 == 0:
            burned += 1
            burn(200)

    async def main() -> None:
        manager = pulse.get_manager()
        others = [f"GET /{name}" for name in ("small", "fast", "light")]
        fine = [arrive(polls_of(0.1), name, per_second=20, seconds=5) for name in others]
        load = asyncio.gather(*fine)
        # In 2 s it burns 20 times; two are enough, and the first moments may be before anybody waits.
        await arrive(sometimes, "GET /report", per_second=50, seconds=0.6)
        tiers = {group.name: group.tier for group in manager.groups()}
        assert tiers["GET /report"] == YIELD
        assert [tiers[name] for name in others] == [MONITOR] * 3
        assert burned <= 5
        await arrive(polls_of(0), "GET /report", per_second=100, seconds=4.5)
        await load

    manager = governed(main, loop_factory, SOONER)
    groups = [change for change in manager.audit() if change.account == "group"]
    assert {change.name for change in groups} == {"GET /report"}
    assert [change.after for change in groups] == [WARN, YIELD, WARN, MONITOR]


# Changes while it runs.


@contextlib.contextmanager
def often_switching_threads() -> Iterator[None]:
    """Let the GIL change hands fifty times as often as usual: more places where it does, and less time for it."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 50)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def test_no_configuration_is_ever_torn(loop_factory: LoopFactory) -> None:
    """GIVEN 10,000 tasks; WHEN another thread changes the configuration 1,000 times; THEN each saw whole ones."""
    configs = [pulse.TierConfig(poll_budget_us=2000 + number, operation_budget=128 + number) for number in range(50)]
    whole = {(config.poll_budget_us, config.operation_budget) for config in configs} | {(2000, 128)}
    over = threading.Event()
    raised: list[BaseException] = []

    def reconfigure(manager: pulse.TierManager) -> None:
        try:
            for config in itertools.islice(itertools.cycle(configs), 1000):
                manager.update_config(config)
                time.sleep(0)
        except BaseException as error:
            raised.append(error)
        finally:
            over.set()

    seen: set[tuple[int, int] | None] = set()

    async def live() -> int:
        coro, polls = _core.current(), 0
        assert coro is not None
        while not over.is_set():
            seen.add(coro.budget)
            polls += 1
            await asyncio.sleep(0)
        return polls

    async def main() -> None:
        tasks = [pulse.spawn(live(), group=f"group {number % 100}") for number in range(10_000)]
        thread = threading.Thread(target=reconfigure, args=(pulse.get_manager(),))
        await asyncio.sleep(0)
        thread.start()
        polls = await asyncio.gather(*tasks)
        thread.join()
        assert min(polls) >= 1

    with often_switching_threads():
        manager = governed(main, loop_factory)
    assert raised == []
    assert seen <= whole
    assert len(seen) > 5
    assert manager.config == configs[-1]
    assert manager.get_metrics().tasks_alive == 0
    assert manager.get_metrics().internal_errors == 0


def test_no_task_is_lost_when_the_mode_changes_under_load(loop_factory: LoopFactory) -> None:
    over = threading.Event()
    modes = itertools.cycle(["off", "observe", "act"])

    def switch(manager: pulse.TierManager) -> None:
        for _ in range(150):
            manager.set_mode(next(modes))  # type: ignore[arg-type]
            time.sleep(0.005)
        over.set()

    done = 0

    async def work(steps: int) -> int:
        nonlocal done
        for _ in range(steps):
            await asyncio.sleep(0)
        if steps == 7:
            burn(3)
        done += 1
        return steps

    async def main() -> None:
        thread = threading.Thread(target=switch, args=(pulse.get_manager(),))
        thread.start()
        made = 0
        while not over.is_set():
            tasks = [pulse.spawn(work(steps), group=f"group {steps}") for steps in range(10)]
            tasks += [asyncio.create_task(work(steps)) for steps in range(10)]
            made += len(tasks)
            assert await asyncio.gather(*tasks) == [*range(10), *range(10)]
        thread.join()
        assert made == done

    manager = governed(main, loop_factory)
    metrics = manager.get_metrics()
    assert (metrics.tasks_alive, metrics.internal_errors) == (0, 0)


@pytest.mark.timing
def test_off_costs_no_more_than_a_plain_task_factory(loop_factory: LoopFactory) -> None:
    def plain(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=loop, **options)

    async def work() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def many() -> float:
        begin = time.thread_time()
        for _ in range(20):
            await asyncio.gather(*[asyncio.create_task(work()) for _ in range(100)])
        return time.thread_time() - begin

    async def is_plain() -> bool:
        coro = work()
        task = asyncio.create_task(coro)
        return (await asyncio.gather(task)) == [None] and task.get_coro() is coro

    with contextlib.closing(loop_factory()) as plain_loop, contextlib.closing(loop_factory()) as off_loop:
        plain_loop.set_task_factory(plain)  # type: ignore[arg-type]
        manager = pulse.install(pulse.TierConfig(mode="off"), loop=off_loop)
        assert off_loop.run_until_complete(is_plain())
        times = [[loop.run_until_complete(many()) for loop in (plain_loop, off_loop)] for _ in range(15)]
        # A C factory against a Python one: it would be less even if it did a little.
        assert statistics.median(off / plainly for plainly, off in times) <= 1.05
        assert manager.get_metrics().polls == 0


@pytest.mark.timing
def test_observing_counts_what_it_would_do_and_does_nothing(loop_factory: LoopFactory) -> None:
    order: dict[str, list[str]] = {}

    def play(mode: str) -> pulse.TierManager:
        async def offender(name: str) -> None:
            for _ in range(40):
                burn(10)
                order.setdefault(mode, []).append(name)
                await asyncio.sleep(0)

        async def main() -> None:
            await asyncio.gather(*[pulse.spawn(offender(name), group=name) for name in ("a", "b", "c")])

        return governed(main, loop_factory, pulse.TierConfig(mode=mode, promotion_share=0.05))  # type: ignore[arg-type]

    plain, observed = play("off"), play("observe")
    assert highest_tier(observed) == YIELD
    assert not any(change.acted for change in observed.audit())
    assert observed.get_metrics().would_park > 0
    # Nobody was put behind anybody.
    assert order["observe"] == order["off"]
    assert (plain.audit(), plain.get_metrics().would_park) == ((), 0)
