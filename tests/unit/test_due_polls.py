"""Bad polls that the decisions are not told of at once keep nothing alive that a program let go of."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncGenerator, Generator, Iterator

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import _core
from asyncio_pulse.config import InterventionAction, TierPolicyBuilder
from asyncio_pulse.runtime.decisions import TierDecisions

# One violation leads to Warn, and nothing leads beyond.
STERN = pulse.TierConfig(poll_budget_us=50, max_tier=InterventionAction.WARN, mode="observe")
for tier in reversed(InterventionAction):
    STERN = STERN.with_tier_policy(tier, TierPolicyBuilder(tier).promotion_violations(1).build())


class Held:
    """What a frame holds."""


def compute(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def offend() -> None:
    compute(0.002)


async def compute_long() -> None:
    compute(0.002)


@pytest.fixture
def manager(any_loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> Iterator[pulse.TierManager]:
    """A governed loop whose first bad poll took so long to decide about that the next ones have to wait."""
    told: list[None] = []

    def slowly(self: TierDecisions, *facts: object) -> None:
        told.append(None)
        compute(0.02)

    with monkeypatch.context() as patch:
        patch.setattr(TierDecisions, "on_bad_poll", slowly)
        manager = pulse.install(STERN, loop=any_loop)
        any_loop.run_until_complete(compute_long())
        any_loop.run_until_complete(asyncio.sleep(0))
        assert told == [None]
    yield manager
    pulse.uninstall(loop=any_loop)


def test_who_waits_in_the_middle_is_not_held(any_loop: asyncio.AbstractEventLoop, manager: pulse.TierManager) -> None:
    async def offend_and_wait(held: Held) -> None:
        await offend()
        await any_loop.create_future()

    any_loop.set_exception_handler(lambda *_: None)
    held = Held()
    gone = weakref.ref(held)
    task = any_loop.create_task(offend_and_wait(held))
    any_loop.run_until_complete(asyncio.sleep(0))
    assert manager.get_metrics().violations >= 2
    del held, task
    gc.collect()
    assert gone() is None


def test_the_end_of_a_generator_is_not_held(any_loop: asyncio.AbstractEventLoop, manager: pulse.TierManager) -> None:
    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            compute(0.002)

    async def end(generator: AsyncGenerator[int, None]) -> None:
        await anext(generator)
        await any_loop.create_task(generator.aclose())

    generator = numbers()
    gone = weakref.ref(generator)
    any_loop.run_until_complete(end(generator))
    any_loop.run_until_complete(asyncio.sleep(0))
    assert manager.get_metrics().violations >= 2
    del generator
    gc.collect()
    assert gone() is None


def test_who_has_ended_is_told_of_later(any_loop: asyncio.AbstractEventLoop, manager: pulse.TierManager) -> None:
    any_loop.run_until_complete(offend())
    any_loop.run_until_complete(asyncio.sleep(0))
    gc.collect()
    assert "offend" in [change.name for change in manager.audit()]


def test_nobody_is_told_of_whoever_is_being_dropped(
    any_loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pause:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def offend_and_wait() -> None:
        compute(0.002)
        await Pause()

    async def wait_always() -> None:
        while True:
            await Pause()

    told: list[str] = []
    monkeypatch.setattr(TierDecisions, "on_bad_poll", lambda _, coro, *__: told.append(coro.__qualname__))
    manager = pulse.install(STERN, loop=any_loop)
    polled: list[None] = []

    async def drop_one() -> None:
        other, dropped = _core.GovernedCoroutine(wait_always()), _core.GovernedCoroutine(offend_and_wait())
        other.send(None)
        dropped.send(None)
        # Its callback runs while the coroutine is freed, and this poll is the next one.
        gone = weakref.ref(dropped, lambda _: polled.append(other.send(None)))
        del dropped
        assert gone() is None
        other.close()

    any_loop.run_until_complete(drop_one())
    assert polled == [None]
    assert manager.get_metrics().violations >= 1
    assert not [name for name in told if "offend_and_wait" in name]
    pulse.uninstall(loop=any_loop)


def test_others_are_polled_plainly_while_they_wait(
    any_loop: asyncio.AbstractEventLoop, manager: pulse.TierManager
) -> None:
    """GIVEN bad polls that wait to be reported; WHEN others are polled; THEN few of these take the slow path."""
    tasks, yields = 20, 50

    async def wait_in_turn() -> None:
        for _ in range(yields):
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*map(asyncio.create_task, [offend(), *(wait_in_turn() for _ in range(tasks))]))

    def counted(name: str) -> int:
        return int(manager.governor.counters()[name])

    polls, special, violations = map(counted, ("polls", "special_polls", "violations"))
    any_loop.run_until_complete(main())
    assert counted("violations") > violations
    assert counted("polls") - polls > tasks * yields
    # The first poll of each task, and one a turn to see whether they may be reported now.
    assert counted("special_polls") - special < tasks * yields / 4
