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


async def check_beside_crowd(seconds: float, spawn: Spawn) -> list[tuple[float, float]]:
    """Check every 10 ms beside the crowd.

    Args:
        seconds: Duration after a warm-up.
        spawn: Makes a task of the crowd.

    Returns:
        For each check in order: when it was due, seconds after the warm-up, and its lateness, milliseconds.
    """
    loop = asyncio.get_running_loop()
    crowd = [spawn(_compute_and_yield()) for _ in range(TASKS)]
    begins = loop.time() + WARM_UP_S
    checks: list[tuple[float, float]] = []

    def note(due: float) -> None:
        checks.append((due - begins, (loop.time() - due) * 1e3))

    # All are due at fixed times: a late one must not put off the next, or the worst times would have the fewest checks.
    for number in range(max(1, round(seconds / PERIOD_S))):
        due = begins + number * PERIOD_S
        loop.call_at(due, note, due)
    await asyncio.sleep(WARM_UP_S + seconds)
    for task in crowd:
        task.cancel()
    await asyncio.wait(crowd)
    return checks


def main() -> None:
    """Run one mode, and print the lateness of the checks and the number of the crowd's steps that were put off."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), required=True)
    options = parser.parse_args()
    factory = new_loop if options.loop == "uvloop" else asyncio.new_event_loop
    if options.mode == "plain":
        with asyncio.Runner(loop_factory=factory) as runner:
            checks, put_off = runner.run(check_beside_crowd(options.seconds, asyncio.create_task)), 0
    else:

        async def governed() -> tuple[list[tuple[float, float]], int]:
            checks = await check_beside_crowd(options.seconds, lambda coro: pulse.spawn(coro, group="crowd"))
            queue = pulse.get_manager().report().slow_queue
            return checks, queue.parked + queue.overlong_turns.waits.count

        checks, put_off = pulse.run(governed(), config=pulse.TierConfig(mode=options.mode), loop_factory=factory)
    json.dump({"mode": options.mode, "checks": checks, "put_off": put_off}, sys.stdout)


if __name__ == "__main__":
    main()
