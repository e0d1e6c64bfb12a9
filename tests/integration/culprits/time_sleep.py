"""A synchronous sleep in a coroutine."""

import time

CLASS = "blocked"


async def culprit() -> None:
    time.sleep(0.4)  # <- here
