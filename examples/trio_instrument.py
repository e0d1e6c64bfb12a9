"""Account for the tasks of a trio program, which pulse does not drive, through the manager's manual hooks.

python examples/trio_instrument.py
"""

from __future__ import annotations

import time

import trio

from asyncio_pulse.lowlevel import PollResult, TaskContext, TierManager


class PulseInstrument(trio.abc.Instrument):
    """Reports every step of every trio task to a manager."""

    def __init__(self, manager: TierManager) -> None:
        """Report to this manager."""
        self.manager = manager
        self.started_ns = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Report that a step begins."""
        self.manager.before_poll(id(task), TaskContext(self.manager.worker_id, group=task.name))
        self.started_ns = time.perf_counter_ns()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Report that the step ended."""
        self.manager.after_poll(id(task), PollResult.PENDING, time.perf_counter_ns() - self.started_ns)

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """Report that the task is done."""
        self.manager.on_completion(id(task))


async def polite(rounds: int) -> None:
    """Take many short steps."""
    for _ in range(rounds):
        await trio.sleep(0)


async def greedy(seconds: float) -> None:
    """Compute without giving way."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    await trio.sleep(0)


async def main() -> None:
    """Run polite tasks beside a greedy one."""
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(polite, 100)
        nursery.start_soon(greedy, 0.03)


if __name__ == "__main__":
    manager = TierManager()
    trio.run(main, instruments=[PulseInstrument(manager)])
    for group in manager.groups():
        longest_ms = group.max_ns / 1e6
        print(f"{group.name:40} polls {group.polls:4}  violations {group.violations}  longest {longest_ms:7.3f} ms")
