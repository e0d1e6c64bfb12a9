"""SystemExit, as a handler of SIGTERM raises it, in a method of the loop that parking calls: the program hears of it."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import asyncio_pulse as pulse
from asyncio_pulse.testing import chaos


class Interrupted(asyncio.SelectorEventLoop):
    """Raises in the 20th call of one of its methods that parking makes."""

    def __init__(self, method: str) -> None:
        """Count the calls of this method."""
        super().__init__()
        self.method, self.calls_left = method, 20

    def count(self, method: str) -> None:
        """Raise if it is time."""
        self.calls_left -= method == self.method
        if self.calls_left == 0:
            self.calls_left = -1
            raise SystemExit(method)

    def create_future(self) -> asyncio.Future[Any]:
        """Count it; nothing but parking makes futures here."""
        self.count("create_future")
        return super().create_future()

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        """Count those of the pump."""
        if type(callback).__name__ == "PumpToken":
            self.count("call_soon")
        return super().call_soon(callback, *args, context=context)


async def work() -> None:
    """Yield often."""
    for _ in range(10_000):
        await asyncio.sleep(0)


for method in ("create_future", "call_soon"):
    loop = Interrupted(method)
    manager = pulse.install(loop=loop)
    try:
        with chaos(1, park=1.0, preempt=0.0):
            loop.run_until_complete(work())
    except SystemExit as error:
        heard_of = error.code
    else:
        heard_of = None
    assert heard_of == method, (heard_of, method)
    assert manager.report().slow_queue.parked > 0
    assert manager.get_metrics().internal_errors == 0, manager.get_metrics()
print("ok")
sys.stdout.flush()
# The tasks were left where they were: nobody is to hear of that.
os._exit(0)
