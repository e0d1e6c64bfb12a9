"""Tasks of another kind of loop that are dropped in the middle of their polls: those begun inside go on, uncounted."""

from __future__ import annotations

import asyncio
import gc

import asyncio_pulse as pulse
from asyncio_pulse import _core as core
from asyncio_pulse.runtime.manual import PollResult, TaskContext


def drop_the_outer_poll() -> None:
    governor = core.Governor(0)
    outer, inner = core.ManualTask(governor, core.Options()), core.ManualTask(governor, core.Options())
    outer.begin()
    inner.begin()
    del outer
    keep = [bytes(size) for size in range(100, 1500) for _ in range(3)]
    inner.end(0, 1000)
    assert core.current() is None
    # Nothing is left of it: the next poll counts.
    before = governor.counters()["polls"]
    inner.begin()
    assert core.current() is not None
    inner.end(0, 1000)
    assert governor.counters()["polls"] == before + 1
    assert core.current() is None
    del keep


def drop_the_manager_of_the_outer_poll() -> None:
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    managers = [pulse.install(loop=first), pulse.install(loop=second)]
    for worker, manager in enumerate(managers):
        manager.before_poll(1, TaskContext(worker_id=worker))
    pulse.uninstall(loop=first)
    first.close()
    managers.pop(0)
    gc.collect()
    keep = [bytes(size) for size in range(100, 1500) for _ in range(3)]
    managers[0].after_poll(1, PollResult.READY, 1000)
    assert core.current() is None
    pulse.uninstall(loop=second)
    second.close()
    del keep


drop_the_outer_poll()
drop_the_manager_of_the_outer_poll()
print("ok")
