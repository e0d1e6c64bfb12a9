"""The main thread waits for a lock that a suspended task holds: a line on stderr names the task while it lasts."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import asyncio_pulse as pulse

lock = threading.Lock()
read_end, write_end = os.pipe()
told: list[str] = []


def take() -> None:
    """A function whose lock nobody sees."""
    getattr(lock, "acq" + "uire")()


async def holder() -> None:
    take()
    while not told:
        pass
    lock.release()


def listen() -> None:
    """Let the main thread go on when the line has come."""
    os.set_blocking(read_end, False)
    end = time.monotonic() + 30
    while time.monotonic() < end and not told:
        time.sleep(0.05)
        try:
            told.append(os.read(read_end, 1 << 16).decode())
        except BlockingIOError:
            continue
    lock.release()


async def main() -> None:
    task = pulse.spawn(holder(), preemptible=True)
    # It may also be suspended before it takes the lock.
    while not lock.locked():
        await asyncio.sleep(0)
    assert pulse.get_manager().get_metrics().preemptions > 0
    thread = threading.Thread(target=listen)
    thread.start()
    with lock:
        pass
    thread.join()
    # The holder's own release.
    lock.acquire()
    await task


os.dup2(write_end, 2)
pulse.run(main(), config=pulse.TierConfig(poll_budget_us=500))
[line] = [line for line in told[0].splitlines() if "preemption has suspended" in line]
assert "holder (" in line, line
assert "blocked_by_a_suspended_task.py:" in line, line
print("ok")
