"""What a piece of work came to: tasks a second, violations, movements between tiers, memory."""

from __future__ import annotations

import time
from collections import Counter

import asyncio_pulse as pulse
from asyncio_pulse.metrics.model import TIER_NAMES
from tests.isolated.measuring import resident_bytes


class Figures:
    """Adds up what loops counted from its making on; `print` says it."""

    def __init__(self) -> None:
        self.resident = resident_bytes()
        self.tasks = self.polls = self.violations = self.parked = self.preemptions = 0
        self.moves: Counter[tuple[int, int]] = Counter()
        self.began, self.began_cpu = time.perf_counter(), time.process_time()

    def add(self, manager: pulse.TierManager) -> None:
        """Add a loop, once its work is done."""
        metrics = manager.get_metrics()
        self.tasks += metrics.tasks
        self.polls += metrics.polls
        self.violations += metrics.violations
        self.preemptions += metrics.preemptions
        self.parked += manager.report().slow_queue.parked
        self.moves.update((change.before, change.after) for change in manager.audit())

    def print(self, title: str) -> None:
        """Write one line for each kind of figure."""
        seconds, cpu = time.perf_counter() - self.began, time.process_time() - self.began_cpu
        moves = ", ".join(
            f"{TIER_NAMES[before]} to {TIER_NAMES[after]} {count}"
            for (before, after), count in sorted(self.moves.items())
        )
        grown = (resident_bytes() - self.resident) / 2**20
        print(f"{title}: {self.tasks} tasks in {seconds:.2f} s ({cpu:.2f} s CPU): {self.tasks / seconds:,.0f} tasks/s")
        print(f"  {self.polls} polls, {self.violations} violations: {self.violations / max(self.polls, 1):.2%}")
        print(f"  tiers: {moves or 'no movement'}; {self.parked} parked, {self.preemptions} preempted")
        print(f"  memory: {resident_bytes() / 2**20:.1f} MiB resident, {grown:+.1f} MiB")
