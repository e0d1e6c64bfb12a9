"""Waits on asyncio's loop; meanwhile a signal is noted that interrupts no system call, as one just before it would not."""

import asyncio
import ctypes
import signal
import threading


async def main() -> None:
    loop = asyncio.get_running_loop()
    note = ctypes.PyDLL(None).PyErr_SetInterruptEx
    # From another thread: the main one must be waiting by then, and is not told.
    timer = threading.Timer(0.5, note, [int(signal.SIGTERM)])
    timer.daemon = True
    timer.start()
    stopped = asyncio.Event()
    loop.call_later(30, stopped.set)
    await stopped.wait()
    print("stopped")


asyncio.run(main())
