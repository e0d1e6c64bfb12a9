"""A numpy call: sorting what is large, in C, with the GIL let go or kept as numpy likes."""

import numpy

CLASS = "on-cpu"
NUMBERS = numpy.random.default_rng(1).random(8_000_000)


async def culprit() -> None:
    numpy.sort(NUMBERS)  # <- here
