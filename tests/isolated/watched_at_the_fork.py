"""A hook that runs after ours, just before the fork, starts our threads again: the child does not wait for them."""

from __future__ import annotations

import os

# Registered before ours, and so called after it.
os.register_at_fork(before=lambda: before_fork())  # noqa: PLW0108 - defined below

import asyncio  # noqa: E402
import faulthandler  # noqa: E402
import warnings  # noqa: E402

import measuring  # noqa: E402

import asyncio_pulse as pulse  # noqa: E402

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
before_fork_has: list[int] = []


async def compute(name: str) -> None:
    for _ in range(1000):
        sum(range(1000))


async def main() -> None:
    await pulse.spawn(compute("in the hook"), preemptible=measuring.PREEMPTS)


loop = asyncio.new_event_loop()
pulse.install(pulse.TierConfig(poll_budget_us=500), loop=loop)


def before_fork() -> None:
    pulse.get_manager(loop=loop).governor.resume_watchdog()
    loop.run_until_complete(main())
    measuring.wait_for_core_threads(measuring.CORE_THREADS)
    before_fork_has.append(measuring.CORE_THREADS)


child = os.fork()
if child == 0:
    faulthandler.dump_traceback_later(30, exit=True)
    measuring.wait_for_core_threads(0)
    loop.run_until_complete(main())
    measuring.wait_for_core_threads(measuring.CORE_THREADS)
    pulse.uninstall(loop=loop)
    measuring.wait_for_core_threads(0)
    loop.close()
    os._exit(0)
_, status = os.waitpid(child, 0)
assert before_fork_has == [measuring.CORE_THREADS]
assert os.waitstatus_to_exitcode(status) == 0, status
pulse.uninstall(loop=loop)
loop.close()
print("ok")
