"""Chaos: every governed loop parks and suspends at random, and a correct program stays correct."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
import pytest

import asyncio_pulse as pulse
from asyncio_pulse.config import InterventionAction
from asyncio_pulse.testing import chaos
from tests.support.loops import LoopFactory

ITEMS = 200


async def step(number: int) -> int:
    return number


async def produce(queue: asyncio.Queue[int]) -> None:
    for number in range(ITEMS):
        await queue.put(await step(number))


async def consume(queue: asyncio.Queue[int]) -> list[int]:
    return [await queue.get() for _ in range(ITEMS)]


async def increment(lock: asyncio.Lock, counter: list[int]) -> None:
    for _ in range(20):
        async with lock:
            before = counter[0]
            counter[0] = await step(before) + 1


async def program() -> tuple[list[int], int, str]:
    """Pass items through a queue in order, count under a lock, and time out."""
    queue: asyncio.Queue[int] = asyncio.Queue(3)
    async with asyncio.TaskGroup() as group:
        group.create_task(produce(queue))
        consumer = group.create_task(consume(queue))
    counter = [0]
    lock = asyncio.Lock()
    await asyncio.gather(*[increment(lock, counter) for _ in range(10)])
    try:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(10)
    except TimeoutError:
        return consumer.result(), counter[0], "timed out"
    return consumer.result(), counter[0], "slept"


EXPECTED = (list(range(ITEMS)), 200, "timed out")


@pytest.mark.parametrize("seed", range(5))
def test_a_correct_program_stays_correct(seed: int, loop_factory: LoopFactory) -> None:
    async def main() -> tuple[int, int, int]:
        manager = pulse.get_manager()
        with chaos(seed, park=0.3, preempt=0.5):
            assert await program() == EXPECTED
        # The poll under way may still be suspended.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        parked = manager.report().slow_queue.parked
        assert await program() == EXPECTED
        assert manager.report().slow_queue.parked == parked, "chaos goes on behind its block"
        return parked, manager.report().preemption.preemptions, manager.get_metrics().internal_errors

    # Chaos acts at every tier. On a busy machine a task may otherwise come to the tier at which it is parked.
    config = pulse.TierConfig(max_tier=InterventionAction.WARN)
    parked, preempted, errors = pulse.run(main(), config=config, loop_factory=loop_factory)
    assert (parked > 0, preempted > 0, errors) == (True, True, 0)


def test_the_same_seed_parks_the_same(loop_factory: LoopFactory) -> None:
    async def main() -> int:
        with chaos(7, park=0.3, preempt=0.0):
            await program()
        return pulse.get_manager().report().slow_queue.parked

    # The time-out decides how many turns there are; all but a few resumptions are the program's own.
    first, second = (pulse.run(main(), loop_factory=loop_factory) for _ in range(2))
    assert first > 0
    assert abs(first - second) <= 5


def test_the_environment_puts_every_loop_under_chaos(
    loop_factory: LoopFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> int:
        assert await program() == EXPECTED
        return pulse.get_manager().report().slow_queue.parked

    monkeypatch.setenv("ASYNCIO_PULSE_CHAOS", "3,0.5,0")
    assert pulse.run(main(), loop_factory=loop_factory) > 0
    monkeypatch.setenv("ASYNCIO_PULSE_CHAOS", "three")
    with pytest.raises(pulse.ConfigError, match="ASYNCIO_PULSE_CHAOS must be SEED or SEED,PARK,PREEMPT, got 'three'"):
        pulse.run(main(), loop_factory=loop_factory)


@pytest.mark.parametrize(
    ("enter", "message"),
    [
        (lambda: chaos(-1), "seed must be a whole number from 0"),
        (lambda: chaos(1, park=1.5), "park must be a number from 0 to 1"),
        (lambda: chaos(1, preempt=-0.1), "preempt must be a number from 0 to 1"),
    ],
)
def test_bad_input_is_named(enter: Callable[[], object], message: str) -> None:
    with pytest.raises(pulse.ConfigError, match=message):
        enter().__enter__()  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(10))
def test_what_a_scope_of_anyio_cancels_keeps_what_woke_it(seed: int, loop_factory: LoopFactory) -> None:
    """Who was woken is not cancelled any more: parked with an item, it gets the item."""

    async def give_and_cancel(received: list[int]) -> None:
        send, receive = anyio.create_memory_object_stream[int]()
        scope = anyio.CancelScope()

        async def take() -> None:
            with scope:
                received.append(await receive.receive())

        with send, receive:
            async with anyio.create_task_group() as group:
                group.start_soon(take)
                while not send.statistics().tasks_waiting_receive:
                    await asyncio.sleep(0)
                send.send_nowait(len(received))
                scope.cancel()

    async def main() -> int:
        received: list[int] = []
        with chaos(seed, park=0.5, preempt=0.5):
            for _ in range(20):
                await give_and_cancel(received)
        assert received == list(range(20))
        return pulse.get_manager().report().slow_queue.cancelled

    assert pulse.run(main(), loop_factory=loop_factory) > 0, "nobody was cancelled who was parked"
