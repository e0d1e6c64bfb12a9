"""Run one culprit on a governed loop and print the stalls that were seen, as JSON.

python run.py NAME asyncio|uvloop
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import json
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import asyncio_pulse


async def main(culprit: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await asyncio.sleep(0.1)
    await asyncio.create_task(culprit(), name="the culprit")
    # A heartbeat comes every 50 ms, and ends what was captured.
    await asyncio.sleep(0.15)
    manager = asyncio_pulse.get_manager()
    print(
        json.dumps(
            {
                "stalls": [dataclasses.asdict(stall) for stall in manager.report().stalls],
                "errors": manager.get_metrics().internal_errors,
            }
        )
    )


if __name__ == "__main__":
    module = importlib.import_module(sys.argv[1])
    prepare = getattr(module, "prepare", None)
    if prepare is not None:
        prepare()
    factory = asyncio.new_event_loop
    if sys.argv[2] == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    asyncio_pulse.run(main(module.culprit), loop_factory=factory)
