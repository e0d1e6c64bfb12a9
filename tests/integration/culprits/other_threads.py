"""More CPU-bound Python threads: the loop's thread waits for the GIL, with three of them for most of the time."""

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

    threads = [threading.Thread(target=crunch, name="cruncher") for _ in range(3)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 0.8
    while time.monotonic() < end:  # <- here
        sum(range(100))  # <- here
    over.set()
    for thread in threads:
        thread.join()
