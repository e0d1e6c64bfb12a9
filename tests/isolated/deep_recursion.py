"""Deep awaits through governed calls end as they do without them: in a result, or in RecursionError."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

import asyncio_pulse as pulse


@pulse.governed(group="dive")
async def dive(depth: int) -> int:
    if depth == 0:
        await asyncio.sleep(0)
        return 0
    return 1 + await dive(depth - 1)


async def plain_dive(depth: int) -> int:
    if depth == 0:
        await asyncio.sleep(0)
        return 0
    return 1 + await plain_dive(depth - 1)


async def too_deep() -> bool:
    try:
        await dive(10**6)
    except RecursionError:
        return True
    return False


async def main() -> None:
    depth = sys.getrecursionlimit() // 8
    assert await dive(depth) == await plain_dive(depth) == depth
    assert await too_deep()
    # What was unwound is told, and the living are counted right.
    manager = pulse.get_manager()
    [group] = [group for group in manager.groups() if group.name == "dive"]
    assert group.tasks_alive == 0
    assert pulse.current().group == "main"
    assert await dive(10) == 10
    assert manager.get_metrics().internal_errors == 0


async def deeper_than_the_limit() -> None:
    """With 2 KiB of the stack for each of these calls, this would be a crash. Python 3.12 has a limit for C code, too."""
    sys.setrecursionlimit(10**6)
    with contextlib.suppress(RecursionError):
        assert await dive(3_000) == 3_000


pulse.run(main())
assert asyncio.run(too_deep())
if "asan" not in os.environ.get("LD_PRELOAD", ""):
    pulse.run(deeper_than_the_limit())
print("ok")
