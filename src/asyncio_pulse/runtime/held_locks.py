"""Says while it lasts that a loop is blocked and a task that stands in the middle of its code may be the reason."""

from __future__ import annotations

import os

from asyncio_pulse import _core
from asyncio_pulse.runtime.origin import origin_of

__all__ = ["tell_if_held"]

MOST_NAMED = 5


def tell_if_held() -> None:
    """Write a line about the tasks that preemption has suspended, if there are any.

    The watchdog calls this in its own thread while the loop's thread is blocked, perhaps for good. The line goes to the
    standard error directly, because the blocked thread may hold the lock of a log handler.
    """
    suspended = _core.preempted()
    if not suspended:
        return
    places = [_place_of(coro) for coro in suspended[:MOST_NAMED]]
    more = f" and {len(suspended) - MOST_NAMED} more" if len(suspended) > MOST_NAMED else ""
    line = (
        f"{origin_of(None)}: the loop is blocked while preemption has suspended {', '.join(places)}{more}: "
        "one of them may hold the lock that is waited for; use no_preempt() around it\n"
    )
    try:
        os.write(2, line.encode(errors="backslashreplace"))
    except OSError:
        return


def _place_of(coro: _core.GovernedCoroutine) -> str:
    frame = coro.cr_frame
    where = f" ({frame.f_code.co_filename}:{frame.f_lineno})" if frame is not None else ""
    return f"{coro.__qualname__}{where}"
