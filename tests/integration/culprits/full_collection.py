"""A full garbage collection on 1.5 million objects."""

import gc

CLASS = "collecting"
OBJECTS: list[list[int]] = []


def prepare() -> None:
    OBJECTS.extend([number] for number in range(1_500_000))


async def culprit() -> None:
    gc.collect()  # <- here
