"""`python -m benchmarks.programs NAME [TIMES]`: run one program so many times, and print its cost as one line of JSON.

The time covers the work alone. The start-up with its imports is another figure. Between the two the program prints "ready"
and waits, so that several programs begin at once.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from . import crowds, jobs
from .neighbours import percentile, run_beside_ticker

Program = Callable[[], Coroutine[Any, Any, list[float]]]


def _beside_ticker(work: Callable[[], Coroutine[Any, Any, None]]) -> Program:
    async def program() -> list[float]:
        return await run_beside_ticker(work())

    return program


PROGRAMS: dict[str, Program] = {
    **{f"worker_{job.__name__}": _beside_ticker(functools.partial(jobs.work_off, job)) for job in jobs.JOBS},
    "small_offenders": _beside_ticker(crowds.small_offenders),
    "short_steps": _beside_ticker(crowds.short_steps),
    "blocking_handlers": _beside_ticker(crowds.blocking_handlers),
    "loops_in_threads": crowds.loops_in_threads,
    "batch_example": _beside_ticker(crowds.batch_example),
}


def _find(name: str) -> Program:
    if name == "web_service":
        # Imported before the measurement begins, and only if requested.
        from .web import web_service

        return web_service
    return PROGRAMS[name]


async def _measure(program: Program, times: int) -> dict[str, float]:
    began_cpu = time.process_time()
    began = time.perf_counter()
    latencies_s: list[float] = []
    for _ in range(times):
        latencies_s += await program()
    return {
        "cpu_s": time.process_time() - began_cpu,
        "elapsed_s": time.perf_counter() - began,
        "p50_s": percentile(latencies_s, 50),
        "p99_s": percentile(latencies_s, 99),
        "latencies": len(latencies_s),
    }


def main(name: str, times: int = 1) -> None:
    """Start up, wait for a line or the end of stdin, and do the work."""
    program = _find(name)
    startup_s = time.process_time()
    # All programs begin without garbage. Otherwise the time of the first full collection would decide.
    gc.collect()
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(_measure(program, times)) | {"startup_s": startup_s}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
