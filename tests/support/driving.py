"""Drives governed coroutines by hand: no loop, and every poll happens when the test says so."""

from __future__ import annotations

import contextvars
import struct
import types
from collections.abc import Coroutine, Generator
from typing import Any

from asyncio_pulse import _core as core

UNLIMITED_US = 10_000_000


@types.coroutine
def pause() -> Generator[None, Any, Any]:
    """Suspend; the value sent says whether to go on."""
    return (yield)


async def work() -> None:
    """Go on as long as what is sent is true; options sent are put in force, from inside, as they must be."""
    while sent := await pause():
        if isinstance(sent, core.Options):
            # Not kept in a variable: the coroutine would hold itself.
            core.current().update(sent)  # type: ignore[union-attr]


NUMBERS = (
    "polls",
    "wall_time_ns",
    "cpu_time_ns",
    "gc_time_ns",
    "violations",
    "slow_polls",
    "forced_yields",
    "max_ns",
    "tasks",
    "tasks_alive",
)


def snapshots(source: core.Governor | core.GroupTotals) -> list[dict[str, Any]]:
    """Everything that the groups of a governor, or of totals, counted, most wall time first."""
    return [_snapshot(group, numbers) for group, _, numbers in source.groups()]


def _snapshot(group: core.Group, numbers: bytes) -> dict[str, Any]:
    values = struct.unpack(f"={len(numbers) // 8}Q", numbers)
    pairs = values[len(NUMBERS) :]
    return {
        "name": group.name,
        "explicit": group.explicit,
        "histogram": list(zip(pairs[::2], pairs[1::2], strict=True)),
        **dict(zip(NUMBERS, values[: len(NUMBERS)], strict=True)),
    }


def configure(governor: core.Governor, **settings: int) -> None:
    """Give a governor numbers that no poll breaks, but for those given."""
    defaults = {
        "slow_poll_threshold_us": UNLIMITED_US,
        "cpu_sample_interval_us": 100,
        "stall_threshold_us": UNLIMITED_US,
        "latency_target_us": UNLIMITED_US,
        "max_groups": 1024,
        "budget_us": UNLIMITED_US,
        "operations": 128,
    }
    values = defaults | settings
    budget, operations = values.pop("budget_us"), values.pop("operations")
    governor.configure(
        poll_budget_us=(budget, budget, budget, budget),
        operation_budget=(operations, operations, operations, operations),
        **values,
    )


class Driven:
    """A governed coroutine as a task would hold it, in a context of its own."""

    def __init__(
        self, governor: core.Governor, coro: Coroutine[Any, Any, Any], options: core.Options | None = None
    ) -> None:
        # A factory before ours makes the task: here, none, but what it would be made of.
        factory = governor.task_factory(lambda loop, made: made)
        given = coro if options is None else core.GovernedCoroutine(coro, options)
        self.governed: core.GovernedCoroutine = factory(None, given)
        self.context = contextvars.Context()

    def poll(self, value: object = None) -> bool:
        """Resume it; tell whether it is still there."""
        try:
            self.context.run(self.governed.send, value)
        except StopIteration:
            return False
        return True

    def throw(self, error: BaseException) -> None:
        try:
            self.context.run(self.governed.throw, error)
        except type(error):
            pass
        else:
            raise AssertionError("the exception was swallowed")

    def update(self, options: core.Options) -> None:
        """Change its options in a poll of its own."""
        assert self.poll(options)
