"""What tests of preemption share: hogs, and loops that preempt soon."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import asyncio_pulse as pulse
from asyncio_pulse import _core
from asyncio_pulse.config import InterventionAction
from asyncio_pulse.runtime.decisions import Account

T = TypeVar("T")

SOON_US = 500
"""A budget that leaves room for many preemptions in a short test."""

AT_ONCE_US = 50
"""One that preempts some thousand times a second."""

MANY = 1_000
"""What is safe fewer times may still be luck."""

WITHIN_S = 60.0

ASK_PERCENT = 50
"""Of the CPU time. Dangers are sought by asking much more often than programs may be asked."""

_core.set_ask_percent(ASK_PERCENT)


def run_preempting(
    main: Coroutine[Any, Any, T],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    **settings: Any,
) -> T:
    """Run a coroutine on a loop where preemption comes soon."""
    config = pulse.TierConfig(
        **{"preempt": "await", "poll_budget_us": SOON_US, "preemptible_modules": ("*",), **settings}
    )
    return pulse.run(main, config=config, loop_factory=loop_factory)


def preemptions() -> int:
    """How many there were on the running loop."""
    return int(pulse.get_manager().governor.preemption_record()["preemptions"])


def refused(rule: str) -> int:
    """How many attempts a rule refused on the running loop."""
    return int(pulse.get_manager().governor.preemption_record()["refused"][rule])


async def until_preempted(times: int, *, within_s: float = WITHIN_S) -> None:
    """Wait until there were so many preemptions.

    Raises:
        TimeoutError: There were fewer.
    """
    end = time.monotonic() + within_s
    while preemptions() < times:
        if time.monotonic() > end:
            raise TimeoutError(f"{preemptions()} preemptions of {times} in {within_s} s")
        await asyncio.sleep(0.001)


def endanger(
    work: Callable[[], Coroutine[Any, Any, object]],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    *,
    rule: str | None = None,
    tasks: int = 3,
    times: int = MANY,
    within_s: float = WITHIN_S,
    wrong: Callable[[], object] = lambda: False,
    **settings: Any,
) -> None:
    """Let tasks repeat some work until they were preempted many times, and kept from it by a rule at least once.

    Args:
        work: What each task repeats.
        loop_factory: Makes the loop.
        rule: The one that the work is about, if it is about one.
        tasks: How many do it at once.
        times: More than so many preemptions are wanted.
        within_s: Seconds that they may take.
        wrong: Whether one of them was left where it must not be; asked in every turn, when none of them runs.
        settings: Those of the configuration.
    """

    async def main() -> None:
        end = time.monotonic() + within_s

        async def repeat() -> None:
            while preemptions() <= times and time.monotonic() < end:
                await work()

        working = asyncio.gather(*(pulse.spawn(repeat(), preemptible=True) for _ in range(tasks)))
        wrongs = 0
        while not working.done():
            wrongs += bool(wrong())
            await asyncio.sleep(0)
        await working
        assert wrongs == 0
        assert preemptions() > times
        assert rule is None or refused(rule) > 0

    run_preempting(main(), loop_factory, **{"poll_budget_us": AT_ONCE_US, **settings})


@contextlib.contextmanager
def asking_as_for_programs() -> Iterator[None]:
    """Ask tasks as seldom as in programs."""
    _core.set_ask_percent(1)
    try:
        yield
    finally:
        _core.set_ask_percent(ASK_PERCENT)


async def beside_a_heartbeat(work: Coroutine[Any, Any, T], *, preemptible: bool | None = None) -> tuple[T, int, int]:
    """Run some work.

    Returns:
        Its result, how often a heartbeat of 1 ms came while it computed, and how many preemptions there were.
    """
    beats, before = 0, preemptions()
    task = pulse.spawn(work, preemptible=preemptible)
    await asyncio.sleep(0)
    while not task.done():
        beats += 1
        await asyncio.sleep(0.001)
    return await task, beats, preemptions() - before


def put_at_yield(task: asyncio.Task[Any]) -> None:
    """Put a task at the tier Yield, as if it had offended."""
    coro = task.get_coro()
    assert isinstance(coro, _core.GovernedCoroutine)
    account = Account(coro, coro.__qualname__, "", _core.monotonic_ns())
    account.standing.tier = account.tier = InterventionAction.YIELD
    coro.set_account(account)


async def compute_until(done: asyncio.Event) -> int:
    """Compute without ever awaiting, until somebody else says so."""
    rounds = 0
    while not done.is_set():
        rounds += 1
    return rounds


@contextlib.contextmanager
def hogs(count: int) -> Iterator[list[asyncio.Task[int]]]:
    """Keep so many coroutines computing beside a block."""
    done = asyncio.Event()
    tasks = [pulse.spawn(compute_until(done), preemptible=True) for _ in range(count)]
    try:
        yield tasks
    finally:
        done.set()
