"""Short tasks of every end leave nothing behind: no memory, no object, no count of the living."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import measuring

import asyncio_pulse as pulse
from asyncio_pulse import errors

BATCH = 500


async def succeed() -> None:
    await asyncio.sleep(0)


async def fail() -> None:
    await asyncio.sleep(0)
    raise KeyError("wanted")


async def wait_for_ever() -> None:
    await asyncio.get_running_loop().create_future()


@pulse.governed(group="decorated", priority=pulse.TaskPriority.LOW)
async def decorated() -> None:
    await asyncio.sleep(0)


async def end_well() -> None:
    await asyncio.gather(*[asyncio.create_task(succeed()) for _ in range(BATCH)])


async def end_in_an_error() -> None:
    await asyncio.gather(*[asyncio.create_task(fail()) for _ in range(BATCH)], return_exceptions=True)


async def be_cancelled_before_the_start() -> None:
    tasks = [asyncio.create_task(succeed()) for _ in range(BATCH)]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def be_cancelled_while_waiting() -> None:
    tasks = [asyncio.create_task(wait_for_ever()) for _ in range(BATCH)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def be_dropped_while_pending() -> None:
    for _ in range(BATCH):
        asyncio.create_task(wait_for_ever())
    await asyncio.sleep(0)


async def have_options() -> None:
    spawned = [pulse.spawn(succeed(), group=f"route {number % 7}", budget_us=900) for number in range(BATCH // 2)]
    await asyncio.gather(*spawned, *[asyncio.create_task(decorated()) for _ in range(BATCH - BATCH // 2)])


ENDS: list[Callable[[], Awaitable[None]]] = [
    end_well,
    end_in_an_error,
    be_cancelled_before_the_start,
    be_cancelled_while_waiting,
    be_dropped_while_pending,
    have_options,
]


async def main() -> None:
    loop = asyncio.get_running_loop()
    # A pending task that is dropped is told of, as asyncio does.
    loop.set_exception_handler(lambda loop, context: None)
    manager = pulse.get_manager()
    batches = measuring.rounds(short=60_000, long=1_000_000) // BATCH // len(ENDS) or 1

    def some(number: int) -> Callable[[], Awaitable[None]]:
        async def do() -> None:
            for _ in range(number):
                for end in ENDS:
                    await end()

        return do

    await some(max(batches // 2, 1))()
    objects, before = measuring.core_objects(), measuring.resident_bytes()
    tasks = manager.get_metrics().tasks
    await some(batches)()
    grown = measuring.resident_bytes() - before
    assert measuring.core_objects() == objects, (measuring.core_objects(), objects)
    assert manager.get_metrics().tasks - tasks == batches * len(ENDS) * BATCH
    assert manager.get_metrics().tasks_alive == 1
    assert manager.get_metrics().internal_errors == 0
    assert sum(group.tasks_alive for group in manager.groups()) == 1
    assert not measuring.MEMORY_IS_TOLD or grown <= 2_000_000, f"{grown} bytes more"


for factory in (asyncio.new_event_loop, pulse.new_uvloop_event_loop):
    with contextlib.suppress(errors.UnavailableError):
        # A task that waits for another turn makes objects that stay with the loop. One that was parked is resumed by a
        # future of its own, and not by that of `gather`, which holds all of the batch.
        pulse.run(main(), config=pulse.TierConfig(turn_limit_ms=0, max_tier="warn"), loop_factory=factory)
print("ok")
