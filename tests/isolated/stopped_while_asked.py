"""Preemption ends while a task is asked to give way: another thread may switch all off when the handler gives the GIL away.

The handler gives it away when it sets the descriptor that signals are written to; here that call itself ends preemption.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time

import uvloop

import asyncio_pulse as pulse
from asyncio_pulse import _core

CONFIG = pulse.TierConfig(poll_budget_us=100, preempt="anywhere")
set_wakeup_fd = signal.set_wakeup_fd
ended = 0


def set_wakeup_fd_and_end(descriptor: int, **options: bool) -> int:
    global ended
    earlier = set_wakeup_fd(descriptor, **options)
    if asyncio.current_task() is not None:
        _core.stop_preemption()
        ended += 1
    return earlier


async def never_left(within_s: float) -> None:
    """Compute until asked, below a trace function, where a request is refused for good."""
    sys.settrace(lambda *_: None)
    end = time.monotonic() + within_s
    while not ended and time.monotonic() < end:
        pass
    sys.settrace(None)


async def main() -> None:
    await pulse.spawn(never_left(30), preemptible=True)
    # Its request was over before it was judged.
    assert sum(pulse.get_manager().governor.preemption_record()["refused"].values()) == 0
    assert ended > 0


# The core takes the function when preemption starts for the first time.
signal.set_wakeup_fd = set_wakeup_fd_and_end  # type: ignore[assignment]
for make_loop in (asyncio.new_event_loop, uvloop.new_event_loop):
    ended = 0
    pulse.run(main(), config=CONFIG, loop_factory=make_loop)
print("ok")
