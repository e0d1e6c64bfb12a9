"""A callback that arms itself again for ever: the loop goes round and never waits."""

import asyncio
import time

CLASS = "spinning"
IS_TASK = False


# On asyncio the callback is known by its definition; on uvloop it is seen while it runs, in any of its lines.
def again(end: float) -> None:  # <- here
    for _ in range(50):  # <- here
        pass  # <- here
    if time.monotonic() < end:  # <- here
        asyncio.get_running_loop().call_soon(again, end)  # <- here


async def culprit() -> None:
    again(time.monotonic() + 1.8)
    await asyncio.sleep(1.9)
