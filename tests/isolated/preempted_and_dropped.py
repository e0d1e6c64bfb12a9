"""Tasks that are dropped in the middle of their code run their clean-up and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import sys
import weakref

import uvloop

import asyncio_pulse as pulse

if "asan" in os.environ.get("LD_PRELOAD", ""):
    # Not tried under the address sanitizer.
    print("ok")
    sys.exit()

ROUNDS = 60
EACH = 20
begun = cleaned = 0


async def computing(held: object) -> None:
    global begun, cleaned
    begun += 1
    try:
        while True:
            for _ in range(1_000):
                used = held  # noqa: F841 - it is to be alive here
    finally:
        cleaned += 1


async def spinning(held: object) -> None:
    # Python 3.11 and 3.12 miss the `finally` at the end of this loop, 3.13.0 at that of the next one.
    global begun, cleaned
    begun += 1
    try:
        while True: pass  # fmt: skip # noqa: E701
    finally:
        cleaned += held is not None


async def waiting(held: object) -> None:
    global begun, cleaned
    begun += 1
    try:
        while held is not None:
            pass
    finally:
        cleaned += 1


async def main(references: list[weakref.ref[object]]) -> None:
    class Held:
        pass

    for number in range(EACH):
        held = Held()
        references.append(weakref.ref(held))
        task = pulse.spawn((computing, spinning, waiting)[number % 3](held), preemptible=True)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    # Each that has begun was left, or nothing else would run.
    before = begun
    while begun < before + EACH:
        await asyncio.sleep(0)


def used_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def one_loop(number: int) -> None:
    # The collector finds what uvloop holds; of asyncio's loop, the last reference is dropped.
    loop = asyncio.new_event_loop() if number % 2 else uvloop.new_event_loop()
    pulse.install(pulse.TierConfig(poll_budget_us=100), loop=loop)
    references: list[weakref.ref[object]] = []
    loop.run_until_complete(main(references))
    # Without asyncio.run nobody cancels what is left: closing the loop drops it.
    loop.close()
    del loop
    gc.collect()
    assert not [reference for reference in references if reference() is not None]


failed: list[object] = []
sys.unraisablehook = failed.append
for number in range(10):
    one_loop(number)
settled = used_kib()
for number in range(ROUNDS):
    one_loop(number)
assert not failed, failed
assert cleaned == (ROUNDS + 10) * EACH, cleaned
# A slice keeps some KiB of stack, and a data stack of 16 KiB; 1,200 lost ones would show.
assert used_kib() - settled < 4096, used_kib() - settled
print("ok")
