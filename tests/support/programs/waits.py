"""Says when it runs, then waits for a signal; its arguments name the loop and who handles the signals."""

import asyncio
import signal
import sys


async def main(handler: str) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    if handler == "loop":
        loop.add_signal_handler(signal.SIGTERM, stopped.set)
    elif handler == "own":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        loop.add_signal_handler(signal.SIGUSR2, print, "its own SIGUSR2")
    elif handler == "ignore":
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    print("ready", flush=True)
    loop.call_later(30, stopped.set)
    await stopped.wait()
    print("stopped")


if sys.argv[2] == "before":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    signal.signal(signal.SIGUSR2, lambda *_: print("its own SIGUSR2", flush=True))
if sys.argv[1] == "uvloop":
    import uvloop

    uvloop.run(main(sys.argv[2]))
else:
    asyncio.run(main(sys.argv[2]))
