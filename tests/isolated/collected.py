"""The collector finds cycles that lead through governed coroutines, and weak references die with them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref

import measuring

import asyncio_pulse as pulse
from asyncio_pulse import _core as core
from asyncio_pulse import errors

ended = []


async def close_over_its_own_task(holder: list[asyncio.Task[None]], future: asyncio.Future[None]) -> None:
    try:
        await future
    finally:
        ended.append(len(holder))


async def hold_a_call(holder: list[object]) -> None:
    call = core.GovernedCoroutine(wait_for(holder), core.Options(group="call"))
    holder.append(call)
    await call


async def wait_for(holder: list[object]) -> None:
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        ended.append(len(holder))


async def make_cycles(count: int) -> list[weakref.ref[object]]:
    references: list[weakref.ref[object]] = []
    for _ in range(count):
        holder: list[asyncio.Task[None]] = []
        task = asyncio.create_task(close_over_its_own_task(holder, asyncio.get_running_loop().create_future()))
        holder.append(task)
        references.append(weakref.ref(task.get_coro()))
        calls: list[object] = []
        task = asyncio.create_task(hold_a_call(calls))
        calls.append(task)
        references.append(weakref.ref(task.get_coro()))
    await asyncio.sleep(0)
    return references


async def cleared_before_its_first_step() -> None:
    """The collector may clear a coroutine that another object of the cycle still reaches."""

    class Nosy:
        def __init__(self) -> None:
            self.itself = self
            self.coro = core.GovernedCoroutine(wait_for([]))

        def __del__(self) -> None:
            with contextlib.suppress(Exception):
                self.coro.send(None)
            with contextlib.suppress(Exception):
                self.coro.throw(KeyError())
            self.coro.close()
            repr(self.coro)

    for _ in range(100):
        Nosy()
    gc.collect()


async def main() -> None:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    manager = pulse.get_manager()
    count = measuring.rounds(short=2_000, long=100_000)
    references = await make_cycles(count)
    gc.collect()
    alive = [reference for reference in references if reference() is not None]
    assert not alive, f"{len(alive)} of {len(references)} are still there"
    assert len(ended) == 2 * count
    assert manager.get_metrics().tasks_alive == 1
    assert {group.name: group.tasks_alive for group in manager.groups()} == {
        "main": 1,
        "close_over_its_own_task": 0,
        "hold_a_call": 0,
        "call": 0,
    }
    await cleared_before_its_first_step()
    assert manager.get_metrics().internal_errors == 0


for factory in (asyncio.new_event_loop, pulse.new_uvloop_event_loop):
    ended.clear()
    with contextlib.suppress(errors.UnavailableError):
        pulse.run(main(), loop_factory=factory)
print("ok")
