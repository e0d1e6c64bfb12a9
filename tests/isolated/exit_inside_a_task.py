"""sys.exit inside a governed task, with others pending, ends the program as it does without."""

from __future__ import annotations

import asyncio
import sys

import asyncio_pulse as pulse

ended = []


@pulse.governed(group="waiting")
async def wait() -> None:
    try:
        await asyncio.sleep(1000)
    finally:
        ended.append(True)


async def leave() -> None:
    await asyncio.sleep(0)
    sys.exit(0)


async def main() -> None:
    for _ in range(20):
        asyncio.create_task(wait())
    await asyncio.create_task(leave())


try:
    pulse.run(main())
except SystemExit as error:
    code = error.code
else:
    raise AssertionError("SystemExit did not come through")
assert (code, len(ended)) == (0, 20)

kept = pulse.new_event_loop()
kept.create_task(wait())
kept.set_exception_handler(lambda loop, context: None)
print("ok", flush=True)
kept.run_until_complete(leave())
