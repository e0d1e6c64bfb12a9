"""A program under load for a moment, that prints its result: for those that look at what is round it."""

from __future__ import annotations

import asyncio
import random

from tests.stress.behaviours import BEHAVIOURS


async def main() -> None:
    steps = await asyncio.gather(
        *(behaviour(5, random.Random(number)) for number in range(10) for behaviour in BEHAVIOURS)
    )
    print(sum(steps))


asyncio.run(main())
