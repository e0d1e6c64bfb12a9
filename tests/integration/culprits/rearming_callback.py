"""A callback that arms itself again for ever: the loop goes round and never waits."""

import asyncio
import time

CLASS = "spinning"
IS_TASK = False


def again(end: float) -> None:  # <- here
    for _ in range(50):
        pass
    if time.monotonic() < end:
        asyncio.get_running_loop().call_soon(again, end)


async def culprit() -> None:
    again(time.monotonic() + 2.5)
    await asyncio.sleep(2.6)
