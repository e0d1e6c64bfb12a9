"""Many garbage collections of some 20 ms each: whoever waits for the GIL has it only between two of them."""

import gc

CLASS = "collecting"
OBJECTS: list[list[int]] = []
TIMES = 40


def prepare() -> None:
    OBJECTS.extend([number] for number in range(100_000))


async def culprit() -> None:
    for _ in range(TIMES):
        gc.collect()  # <- here
