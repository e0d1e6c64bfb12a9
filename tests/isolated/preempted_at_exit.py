"""The interpreter ends while tasks stand in the middle of their code: what they have to clean up is run, once."""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
import warnings
from collections.abc import Callable

import asyncio_pulse as pulse

if "asan" in os.environ.get("LD_PRELOAD", ""):
    # Not tried under the address sanitizer.
    print("ok")
    sys.exit()

cleaned: list[str] = []
keep: list[asyncio.AbstractEventLoop] = []


async def computing(name: str) -> None:
    try:
        while True:
            pass
    finally:
        cleaned.append(name)
        if len(cleaned) == 3:
            sys.stdout.write("ok\n")


async def main() -> None:
    for name in ("kept", "also kept", "last"):
        task = pulse.spawn(computing(name), preemptible=True)
        # asyncio says so where it can still say something; that is not what this is about.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        tasks.append(task)
    while pulse.get_manager().get_metrics().preemptions < 10:
        await asyncio.sleep(0)


def close(task: asyncio.Task[None]) -> None:
    try:
        task.get_coro().close()  # type: ignore[union-attr]
    except RuntimeError as error:
        refused.append(str(error))


def fork() -> None:
    child = os.fork()
    if child == 0:
        failed: list[object] = []
        sys.unraisablehook = failed.append
        atexit._run_exitfuncs()
        os._exit(len(failed) + len(cleaned))
    exits.append(os.waitpid(child, 0)[1])


def run_in_a_thread(function: Callable[..., None], *arguments: object) -> None:
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    thread.join()


tasks: list[asyncio.Task[None]] = []
exits: list[int] = []
refused: list[str] = []
loop = asyncio.new_event_loop()
pulse.install(pulse.TierConfig(poll_budget_us=500), loop=loop)
loop.run_until_complete(main())
assert not cleaned

# Another thread cannot end them, and changes nothing by trying to.
for task in tasks:
    run_in_a_thread(close, task)
assert refused == ["this coroutine was suspended on the stack of another thread"] * 3
assert not cleaned

# Neither does the end of a child that it forks. Python warns of that.
warnings.simplefilter("ignore", DeprecationWarning)
run_in_a_thread(fork)
assert exits == [0]
