"""Govern and stop governing a loop under load, with a child process alive: no stray signal ends anything."""

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

CYCLES = 10_000 if os.environ.get("ASYNCIO_PULSE_STRESS") == "1" else 300


async def computing() -> None:
    for _ in range(3_000):
        pass


async def main() -> int:
    config = pulse.TierConfig(poll_budget_us=50)
    seen = cycles = 0
    # On a busy processor the watchdog may not come to run in so short a time.
    while cycles < CYCLES or (seen == 0 and cycles < 20 * CYCLES):
        cycles += 1
        manager = pulse.install(config)
        await asyncio.gather(*(pulse.spawn(computing(), preemptible=True) for _ in range(2)))
        seen += manager.get_metrics().preemptions
        pulse.uninstall()
        assert signal.getsignal(signal.SIGURG) is signal.SIG_DFL
    return seen


with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
    assert asyncio.run(main()) > 0
    assert child.poll() is None
    child.communicate(b"\n")
assert child.returncode == 0
print("ok")
