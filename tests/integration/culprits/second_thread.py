"""A second CPU-bound Python thread: the loop's thread waits for the GIL."""

import threading
import time

CLASS = "gil"
CULPRIT = "cruncher"


async def culprit() -> None:
    over = threading.Event()

    def crunch() -> None:
        while not over.is_set():
            for _ in range(1000):
                pass

    thread = threading.Thread(target=crunch, name="cruncher")
    thread.start()
    end = time.monotonic() + 0.8
    while time.monotonic() < end:  # <- here
        sum(range(100))  # <- here
    over.set()
    thread.join()
