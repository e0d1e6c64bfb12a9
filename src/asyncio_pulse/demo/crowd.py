"""A health check beside a crowd of tasks that compute and yield: `python -m asyncio_pulse.demo.crowd MODE`.

The case of micropython issue 2989: everybody is cooperative, and still a task that only sleeps comes as late as all the
others together take. MODE is `plain`, or a mode of `TierConfig`. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import asyncio_pulse as pulse
from asyncio_pulse.runtime.uvloop_loops import new_loop

__all__ = ["MODES", "check_beside_crowd"]

MODES = ("plain", "observe", "act")
TASKS = 20
STEP_S = 0.010
PERIOD_S = 0.010
# Long enough to distinguish the crowd from other tasks, and for one turn of the whole crowd.
WARM_UP_S = 2.0

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


async def _compute_and_yield() -> None:
    while True:
        end = time.thread_time() + STEP_S
        while time.thread_time() < end:
            pass
        await asyncio.sleep(0)


async def check_beside_crowd(seconds: float, spawn: Spawn) -> list[float]:
    """Check every 10 ms beside the crowd.

    Args:
        seconds: Duration after a warm-up.
        spawn: Makes a task of the crowd.

    Returns:
        Lateness of each check in order, milliseconds.
    """
    loop = asyncio.get_running_loop()
    crowd = [spawn(_compute_and_yield()) for _ in range(TASKS)]
    began = loop.time()
    late_ms: list[float] = []
    # Runs at least one check, however long a turn of the crowd takes.
    while loop.time() < began + WARM_UP_S + seconds or not late_ms:
        due = loop.time() + PERIOD_S
        await asyncio.sleep(PERIOD_S)
        if due > began + WARM_UP_S:
            late_ms.append((loop.time() - due) * 1e3)
    for task in crowd:
        task.cancel()
    await asyncio.wait(crowd)
    return late_ms


def main() -> None:
    """Run one mode, and print the lateness of the checks and the number of the crowd's parked steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), required=True)
    options = parser.parse_args()
    factory = new_loop if options.loop == "uvloop" else asyncio.new_event_loop
    if options.mode == "plain":
        with asyncio.Runner(loop_factory=factory) as runner:
            late_ms, parked = runner.run(check_beside_crowd(options.seconds, asyncio.create_task)), 0
    else:

        async def governed() -> tuple[list[float], int]:
            late = await check_beside_crowd(options.seconds, lambda coro: pulse.spawn(coro, group="crowd"))
            return late, pulse.get_manager().slow_queue().parked

        late_ms, parked = pulse.run(governed(), config=pulse.TierConfig(mode=options.mode), loop_factory=factory)
    json.dump({"mode": options.mode, "late_ms": late_ms, "parked": parked}, sys.stdout)


if __name__ == "__main__":
    main()
