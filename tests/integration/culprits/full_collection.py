"""A full garbage collection on 1.5 million objects."""

import gc

CLASS = "collecting"
OBJECTS: list[list[int]] = []
TIMES = 4


def prepare() -> None:
    OBJECTS.extend([number] for number in range(1_500_000))


async def culprit() -> None:
    # As often as a program short of memory does it.
    for _ in range(TIMES):
        gc.collect()  # <- here
