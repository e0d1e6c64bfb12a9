"""What began measured and ends unmeasured is over all the same: for those who count the living, and for its context."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest

import asyncio_pulse as pulse
from tests.support.loops import LoopFactory

OFF: list[Callable[[], object]] = [lambda: pulse.get_manager().set_mode("off"), pulse.uninstall]


@pulse.governed(group="inside")
async def call(ends: BaseException | None, gate: asyncio.Event) -> str:
    await gate.wait()
    if ends is not None:
        raise ends
    return "done"


@pytest.mark.parametrize("off", OFF, ids=["mode", "uninstall"])
@pytest.mark.parametrize("ends", [None, LookupError("wanted")], ids=["returns", "raises"])
def test_it_is_not_alive_any_more(
    off: Callable[[], object], ends: LookupError | None, loop_factory: LoopFactory
) -> None:
    async def main() -> None:
        manager, gate = pulse.get_manager(), asyncio.Event()
        task = pulse.spawn(call(ends, gate), group="outside")
        await asyncio.sleep(0)
        assert {group.name: group.tasks_alive for group in manager.groups()}["outside"] == 1
        off()
        gate.set()
        await asyncio.gather(task, return_exceptions=True)
        assert manager.get_metrics().tasks_alive == 1
        assert {group.name: group.tasks_alive for group in manager.groups()}["outside"] == 0
        # As long as its coroutine is there, so that it was not the end of that which told.
        assert task.done()

    pulse.run(main(), loop_factory=loop_factory)


@pytest.mark.parametrize("ends", [None, LookupError("wanted")], ids=["returns", "raises"])
def test_its_group_ends_with_it(ends: LookupError | None, loop_factory: LoopFactory) -> None:
    async def around(gate: asyncio.Event) -> str:
        with contextlib.suppress(LookupError):
            await call(ends, gate)
        pulse.get_manager().set_mode("act")
        await asyncio.sleep(0)

        async def child() -> str:
            return pulse.current().group

        return await asyncio.create_task(child())

    async def main() -> None:
        gate = asyncio.Event()
        task = pulse.spawn(around(gate), group="outside")
        await asyncio.sleep(0)
        pulse.get_manager().set_mode("off")
        gate.set()
        assert await task == "outside"

    pulse.run(main(), loop_factory=loop_factory)


def test_who_only_sends_to_a_running_one_does_not_end_it() -> None:
    async def reenter(own: list[Any]) -> None:
        with pytest.raises(ValueError, match="already executing"):
            own[0].send(None)
        assert {group.name: group.tasks_alive for group in pulse.get_manager().groups()}["outside"] == 1
        await asyncio.sleep(0)

    async def around(own: list[Any]) -> None:
        await asyncio.sleep(0)
        pulse.get_manager().set_mode("off")
        await asyncio.sleep(0)
        await reenter(own)

    async def main() -> None:
        own: list[Any] = []
        task = pulse.spawn(around(own), group="outside")
        own.append(task.get_coro())
        await task
        assert {group.name: group.tasks_alive for group in pulse.get_manager().groups()}["outside"] == 0

    pulse.run(main())
