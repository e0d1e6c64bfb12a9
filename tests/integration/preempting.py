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
from asyncio_pulse.runtime.tiers import Account

T = TypeVar("T")

SOON_US = 500
"""A budget that leaves room for many preemptions in a short test."""


def run_preempting(
    main: Coroutine[Any, Any, T],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    **settings: Any,
) -> T:
    """Run a coroutine on a loop where preemption comes soon."""
    config = pulse.TierConfig(**{"poll_budget_us": SOON_US, "preemptible_modules": ("*",), **settings})
    return pulse.run(main, config=config, loop_factory=loop_factory)


def preemptions() -> int:
    """How many there were on the running loop."""
    return int(pulse.get_manager().governor.preemption_record()["preemptions"])


def refused(rule: str) -> int:
    """How many attempts a rule refused on the running loop."""
    return int(pulse.get_manager().governor.preemption_record()["refused"][rule])


async def until_preempted(times: int, *, within_s: float = 30.0) -> None:
    """Wait until there were so many preemptions.

    Raises:
        TimeoutError: There were fewer.
    """
    end = time.monotonic() + within_s
    while preemptions() < times:
        if time.monotonic() > end:
            raise TimeoutError(f"{preemptions()} preemptions of {times} in {within_s} s")
        await asyncio.sleep(0.001)


def put_at_yield(task: asyncio.Task[Any]) -> None:
    """Put a task at the tier Yield, as if it had offended."""
    coro = task.get_coro()
    assert isinstance(coro, _core.GovernedCoroutine)
    account = Account(coro, coro.__qualname__, "", _core.monotonic_ns())
    account.standing.tier = account.tier = InterventionAction.YIELD
    coro.stand(account)


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
