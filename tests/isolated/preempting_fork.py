"""A process that preempts forks: both preempt on, each with a thread of its own, and no stray signal ends either."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import asyncio_pulse as pulse

if "asan" in os.environ.get("LD_PRELOAD", ""):
    # Not tried under the address sanitizer.
    print("ok")
    sys.exit()


async def computing(done: asyncio.Event) -> None:
    while not done.is_set():
        pass


async def until_preempted(times: int) -> None:
    before = pulse.get_manager().get_metrics().preemptions
    while pulse.get_manager().get_metrics().preemptions < before + times:
        await asyncio.sleep(0)


async def beside_a_hog(times: int) -> None:
    done = asyncio.Event()
    task = pulse.spawn(computing(done), preemptible=True)
    await until_preempted(times)
    done.set()
    await task


async def main() -> None:
    done = asyncio.Event()
    task = pulse.spawn(computing(done), preemptible=True)
    await until_preempted(10)
    child = os.fork()
    if child == 0:
        # The child's loop is a copy of the parent's: it needs one of its own.
        done.set()
        asyncio.events._set_running_loop(None)
        pulse.run(beside_a_hog(10), config=pulse.TierConfig(poll_budget_us=500))
        os._exit(0)
    await until_preempted(10)
    assert os.waitpid(child, 0)[1] == 0
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    await until_preempted(10)
    done.set()
    await task


pulse.run(main(), config=pulse.TierConfig(poll_budget_us=500))
assert signal.getsignal(signal.SIGURG) is signal.SIG_DFL
print("ok")
