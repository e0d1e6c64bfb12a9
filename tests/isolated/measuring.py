"""What the scripts of this directory measure of their own process."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable

from asyncio_pulse import _core as core
from asyncio_pulse.lowlevel import process_report

STRESS = os.environ.get("ASYNCIO_PULSE_STRESS") == "1"
_PRELOADED = os.environ.get("LD_PRELOAD", "")
UNDER_VALGRIND = "vgpreload" in _PRELOADED
# There the allocator keeps freed memory, so that the resident size says nothing; and a tracer, such as that of coverage,
# remembers every line that it saw for the first time.
MEMORY_IS_TOLD = not UNDER_VALGRIND and "asan" not in _PRELOADED and sys.gettrace() is None

# While a loop is governed: the watchdog, and the thread that asks for suspensions.
PREEMPTS = core.preemption_refusal() is None
CORE_THREADS = 1 + PREEMPTS

COUNTED_TYPES = tuple(each for each in vars(core).values() if isinstance(each, type))


def rounds(short: int, long: int) -> int:
    """Choose how often to do something: the long form is for ASYNCIO_PULSE_STRESS=1."""
    if UNDER_VALGRIND:
        return max(short // 50, 5)
    return long if STRESS else short


def resident_bytes() -> int:
    """Tell the memory in use; 0 where the system does not say."""
    gc.collect()
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def core_threads() -> int:
    """Count the native threads of the core."""
    count = 0
    for thread in os.listdir("/proc/self/task") if sys.platform == "linux" else []:
        try:
            with open(f"/proc/self/task/{thread}/comm") as file:
                count += file.read().startswith("pulse")
        except OSError:
            continue
    return count


def wait_for_core_threads(count: int) -> None:
    """Wait until there are so many: one that was started has yet to take its name, one that was joined to go."""
    deadline = time.monotonic() + 30
    while core_threads() != count and sys.platform == "linux":
        assert time.monotonic() < deadline, f"{core_threads()} threads of the core, not {count}"
        time.sleep(0.001)


def core_objects() -> dict[str, int]:
    """Count references to the types of the core: each object holds one to its type."""
    # Bad polls are held until the decisions are told of them.
    process_report()
    gc.collect()
    return {counted.__name__: sys.getrefcount(counted) for counted in COUNTED_TYPES}


def assert_memory_is_bounded(work: Callable[[int], None], count: int, allowed_bytes: int) -> None:
    """Do a fifth of some work to warm up, then all of it, and see that memory and objects are as before.

    A leak takes as much each time. The allocator may also take a piece of the system's memory for a new thread, so a growth
    counts only if it comes again.
    """
    work(max(count // 5, 1))
    grown = _grown_by(work, count)
    for _ in range(2):
        if MEMORY_IS_TOLD and grown > allowed_bytes:
            grown = _grown_by(work, count)
    assert not MEMORY_IS_TOLD or grown <= allowed_bytes, f"{grown} bytes more after {count} rounds"


def _grown_by(work: Callable[[int], None], count: int) -> int:
    objects, before = core_objects(), resident_bytes()
    work(count)
    assert core_objects() == objects, (core_objects(), objects)
    return resident_bytes() - before
