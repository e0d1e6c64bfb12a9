"""Counts what must be back at its start once some work is done, and says what is not."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator

import asyncio_pulse as pulse
from asyncio_pulse.runtime.decisions import Account
from tests.isolated.measuring import core_objects
from tests.stress.loops import LOOPS

try:
    from greenlet import greenlet
except ImportError:  # then no library makes any
    greenlet = None

GRACE_SECONDS = 10.0
"""A thread that was told to end needs a moment, and so does what only it referred to."""

TRACKED = {
    "tasks": asyncio.Task,
    "futures": asyncio.Future,
    "managers": pulse.TierManager,
    **({} if greenlet is None else {"greenlets": greenlet}),
}


def _use_up_worker_numbers() -> None:
    """Have the last statistics of workers forgotten: they are kept until another loop has the number."""
    loops = [asyncio.new_event_loop() for _ in range(LOOPS)]
    for loop in loops:
        pulse.install(loop=loop)
    for loop in loops:
        pulse.uninstall(loop=loop)
        loop.close()


def take() -> dict[str, int]:
    """Count live objects, open descriptors and threads of the process."""
    _use_up_worker_numbers()
    # Finalisers may leave more to collect.
    while gc.collect():
        pass
    count: Counter[str] = Counter()
    objects = gc.get_objects()
    types = Counter(map(type, objects))
    # Those of groups come and go with them; how many of these were ever promoted is chance.
    count["accounts"] = sum(each.kind == "task" for each in objects if type(each) is Account)
    for name, tracked in TRACKED.items():
        count[name] = sum(number for kind, number in types.items() if issubclass(kind, tracked))
    count.update({f"core {name}": number for name, number in core_objects().items()})
    count["Python threads"] = threading.active_count()
    if sys.platform == "linux":
        count["threads"] = len(os.listdir("/proc/self/task"))
        count["descriptors"] = len(os.listdir("/proc/self/fd"))
    return dict(count)


def _changes(before: dict[str, int], after: dict[str, int]) -> dict[str, tuple[int, int]]:
    return {name: (before[name], after[name]) for name in before if after[name] != before[name]}


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    """Assert that a block leaves nothing behind; run a small form of its work once before, so that caches are warm."""
    before = take()
    yield
    deadline = time.monotonic() + GRACE_SECONDS
    while (changes := _changes(before, take())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not changes, f"before and after: {changes}"
