"""The log of stalls: one record per stall, in its loop's thread after the stall, with a limit per place."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from asyncio_pulse.metrics.code_places import first_own, is_wrapper
from asyncio_pulse.metrics.model import STALL_WORDS, StackFrame, Stall
from asyncio_pulse.policy.log_limit import LogLimit
from asyncio_pulse.runtime.afterwards import AFTERWARDS
from asyncio_pulse.runtime.origin import origin_of

__all__ = ["StallLog", "stall_of"]

logger = logging.getLogger("asyncio_pulse.stalls")


def stall_of(raw: Mapping[str, Any]) -> Stall:
    """Convert the core's record of a stall."""
    known = (
        raw
        if raw["stack"] or not is_wrapper(raw["filename"])
        else {**raw, "function": raw["group"], "filename": "", "line": 0}
    )
    return Stall(**{**known, "stack": tuple(StackFrame(*frame) for frame in raw["stack"])})


class StallLog:
    """Logs the stalls of one loop.

    Args:
        worker_id: Number of the worker, for the text.
    """

    def __init__(self, worker_id: int) -> None:
        """Start with an empty log."""
        self._worker_id = worker_id
        self._limit = LogLimit()

    def note(self, raw: Mapping[str, Any], interval_ns: int, now_ns: int) -> None:
        """Log a stall that is over, unless its place was logged recently.

        Stalls by imports are not warnings: imports run once, usually when a server starts.

        Args:
            raw: The core's record of the stall.
            interval_ns: Least time between two records about one place, nanoseconds; it grows.
            now_ns: The time, nanoseconds.
        """
        stall = stall_of(raw)
        key = (stall.group, stall.function, stall.filename, stall.stall_class, stall.within_ns > 0)
        untold = self._limit.admit(key, interval_ns, now_ns)
        if untold is None:
            return
        level = logging.INFO if stall.stall_class == "importing" else logging.WARNING
        more = f"; {untold:,} more there since this was last logged" if untold else ""
        origin, what = origin_of(self._worker_id), _describe(stall)
        AFTERWARDS.call(partial(logger.log, level, "%s: %s%s", origin, what, more, extra={"stall": stall}))


def _describe(stall: Stall) -> str:
    what = STALL_WORDS.get(stall.stall_class, stall.stall_class)
    seconds = f"{stall.wall_ns / 1e9:.2f} s"
    if stall.within_ns:
        text = f"the loop was blocked for {seconds} of {stall.within_ns / 1e9:.2f} s, in short calls"
    elif stall.stall_class == "spinning":
        # A spinning loop returns to its selector every time, so it is not stalled.
        text = f"the loop was busy for {seconds}, {what}"
    else:
        text = f"the loop stalled for {seconds}, {what}"
    # The loop itself has no file, and is not said to be a coroutine.
    text += f", {'in' if stall.sampled or not stall.filename else 'somewhere in'} {_place(stall)}"
    own = first_own(stall.stack)
    if own is not None and own != stall.stack[0]:
        text += f" from {_place(own)}"
    if stall.culprit:
        text += f", GIL: {stall.culprit}"
    task = f", task {stall.task}" if stall.task else ""
    return f"{text}, group {stall.group}{task}"


def _place(place: Stall | StackFrame) -> str:
    # The event loop itself has no place in the source.
    return f"{place.function} ({place.filename}:{place.line})" if place.filename else place.function
