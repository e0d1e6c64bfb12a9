"""A logging handler that blocks, as one that sends mail does."""

import logging
import time

CLASS = "blocked"
logger = logging.getLogger("service")
logger.propagate = False


class SlowHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        time.sleep(0.4)


logger.addHandler(SlowHandler())


async def culprit() -> None:
    logger.error("something happened")  # <- here
