"""Hooks of others run beside ours at a fork: they may wait for threads that use us, and the child is whole in any case."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
import warnings

import asyncio_pulse as pulse
from asyncio_pulse.lowlevel import process_report
from asyncio_pulse.runtime.lock import LOCK

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
PATIENCE_S = 20


class Service:
    """A governed loop in a thread, stopped before each fork and started again after it, as gunicorn's control socket."""

    def __init__(self) -> None:
        """Not started."""
        self.loop: asyncio.AbstractEventLoop
        self.stopping: asyncio.Event
        self.waited_for_nothing = 0
        self.stops = 0
        self.is_over = False

    def start(self) -> None:
        """Start, and do not wait until it is ready."""
        if self.is_over:
            return
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        """Run the thread."""
        pulse.run(self.serve())

    async def serve(self) -> None:
        """Wait to be stopped."""
        self.loop, self.stopping = asyncio.get_running_loop(), asyncio.Event()
        self.ready.set()
        await self.stopping.wait()

    def stop(self) -> None:
        """Wait until it is ready, and then until it has ended."""
        if self.is_over:
            return
        if not self.ready.wait(PATIENCE_S):
            self.waited_for_nothing += 1
            return
        self.loop.call_soon_threadsafe(self.stopping.set)
        self.thread.join(PATIENCE_S)
        self.waited_for_nothing += self.thread.is_alive()
        self.stops += 1


def check_child() -> None:
    """Everything works, with nothing of the parent's."""
    assert LOCK.acquire(timeout=PATIENCE_S)
    LOCK.release()
    assert process_report().loops == 0
    pulse.run(asyncio.sleep(0))
    assert process_report().loops == 1
    loop = pulse.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    assert process_report().loops == 2
    loop.close()


def fork() -> None:
    """Fork, and have the child check itself."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            check_child()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status


service = Service()
# Registered after ours: begins before it, and ends after it.
os.register_at_fork(before=service.stop, after_in_parent=service.start)
service.start()
began = time.monotonic()
for _ in range(4):
    fork()
service.stop()
service.is_over = True
assert (service.stops, service.waited_for_nothing) == (5, 0), (service.stops, service.waited_for_nothing)
assert time.monotonic() - began < PATIENCE_S

# A thread that the child does not have is in the middle of our tables.
entered, leaving = threading.Event(), threading.Event()


def hold() -> None:
    """Hold the lock until told."""
    with LOCK:
        entered.set()
        leaving.wait(PATIENCE_S)


holder = threading.Thread(target=hold)
holder.start()
entered.wait(PATIENCE_S)
child = os.fork()
if child == 0:
    os._exit(0 if LOCK.acquire(timeout=PATIENCE_S) else 1)
leaving.set()
holder.join()
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, "the child cannot have the lock"

# The thread that forks holds it itself.
with LOCK:
    fork()
print("ok")
sys.stdout.flush()
