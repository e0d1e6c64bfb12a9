"""Polls of two greenlets that end in another order than they began leave nothing dangling."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Generator

from asyncio_pulse import _core as core

if "asan" in os.environ.get("LD_PRELOAD", ""):
    # greenlet copies pieces of the stack, the guard zones of the sanitizer among them.
    print("ok")
    sys.exit()

import greenlet


@types.coroutine
def pause() -> Generator[None, None, None]:
    yield


async def switch_inside(switch: Callable[[], object]) -> None:
    switch()
    await pause()


def interleave() -> None:
    first = factory(None, switch_inside(main.switch))
    inner = greenlet.greenlet(first.send)
    inner.switch(None)
    # The poll of `first` is suspended in the middle; another begins, and the first ends within it.
    second = factory(None, switch_inside(inner.switch))
    second.send(None)
    first.close()
    del first
    # Whatever is told now, it is something that exists.
    running = core.current()
    assert running is None or running.group is not None
    second.close()


main = greenlet.getcurrent()
governor = core.Governor(0)
factory = governor.task_factory(lambda loop, coro: coro)
for _ in range(1000):
    interleave()
    filling = [bytearray(200) for _ in range(50)]
assert governor.counters()["tasks_alive"] == 0
# Nobody can tell whose time was whose: such polls go on unmeasured.
assert governor.counters()["tasks"] == 2000
print("ok")
