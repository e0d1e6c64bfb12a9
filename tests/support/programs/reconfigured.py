"""Says the configuration of its two loops whenever it changes, and that of the main one on SIGUSR1.

Its arguments name the kind of loop, who handles SIGHUP, and a terminal.
"""

import asyncio
import os
import signal
import sys
import threading

import asyncio_pulse


async def watch(name: str) -> None:
    loop = asyncio.get_running_loop()
    if name == "main" and sys.argv[2] == "loop":
        loop.add_signal_handler(signal.SIGHUP, lambda: print("its own SIGHUP", flush=True))
    manager = asyncio_pulse.get_manager()
    if name == "main":
        loop.add_signal_handler(signal.SIGUSR1, lambda: print("asked", manager.config.max_groups, flush=True))
    known = None
    for _ in range(3000):  # half a minute: a test that waits for what does not come must end
        if manager.config.max_groups != known:
            known = manager.config.max_groups
            os.write(1, f"{name} {known}\n".encode())  # in one piece: two threads write
        await asyncio.sleep(0.01)


def run(name: str) -> None:
    if sys.argv[1] == "uvloop":
        import uvloop

        uvloop.run(watch(name))
    else:
        asyncio.run(watch(name))


match sys.argv[2]:
    case "before":
        signal.signal(signal.SIGHUP, lambda *_: print("its own SIGHUP", flush=True))
    case "ignore":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    case "terminal":
        # The first terminal that a session's leader opens becomes the one that controls it.
        os.open(sys.argv[3], os.O_RDWR)
threading.Thread(target=run, args=["thread"], daemon=True).start()
run("main")
