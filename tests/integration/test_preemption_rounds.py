"""A loop is cancelled though each of its rounds ends in a handler: the jump to the next round is no part of the handler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import asyncio_pulse as pulse
from tests.support.loops import LoopFactory
from tests.support.preempting import run_preempting, until_preempted

PATIENCE_S = 20.0


async def passing(told: list[bool]) -> None:
    while not told[0]:
        try:  # noqa: SIM105
            int("x")
        except ValueError:
            pass


async def continuing(told: list[bool]) -> None:
    for _ in iter(lambda: told[0], True):
        try:
            int("x")
        except ValueError:
            continue


async def cleaning_up_each_time(told: list[bool]) -> None:
    for _ in iter(lambda: told[0], True):
        try:
            int("1")
        finally:
            int("2")


@pytest.mark.parametrize("looping", [passing, continuing, cleaning_up_each_time])
def test_a_loop_whose_rounds_end_in_a_handler_is_cancelled(
    loop_factory: LoopFactory, looping: Callable[[list[bool]], Coroutine[Any, Any, None]]
) -> None:
    async def main() -> None:
        told = [False]
        task = pulse.spawn(looping(told), preemptible=True)
        await until_preempted(2)
        task.cancel()
        asyncio.get_running_loop().call_later(PATIENCE_S, told.__setitem__, 0, True)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not told[0], "it went on to its end"

    run_preempting(main(), loop_factory)
