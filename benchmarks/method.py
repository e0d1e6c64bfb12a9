"""How everything here is measured.

A machine that others use drifts by more than what is to be measured. So contenders run in turn, a control among them,
in one process on one processor; the order is reversed every round; and what counts is the difference to the control *of
the same round*. Rounds are many and short; five runs of them give five medians, whose median and extremes are
reported. Time is CPU time of the thread wherever the work never waits: what other processes did meanwhile is not in it.
The garbage collector is off during a round.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["Figure", "differences", "expect", "interleave", "on_processor", "ratios"]

RUNS = 5
# Rounds may be shorter than a collection, which they need not wait for each time.
COLLECT_EVERY = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity: median and extremes over the runs."""

    name: str
    unit: str
    median: float
    lowest: float
    highest: float
    bound: float | None = None
    """The most it may be; None where nothing is asked."""
    note: str = ""

    @classmethod
    def of(cls, name: str, unit: str, values: Iterable[float], bound: float | None = None, note: str = "") -> Figure:
        """Summarise the values of all rounds, which are dealt out to the runs in order."""
        rounds = list(values)
        size = max(1, len(rounds) // RUNS)
        ordered = sorted(statistics.median(rounds[first : first + size]) for first in range(0, len(rounds), size))
        return cls(name, unit, statistics.median(ordered), ordered[0], ordered[-1], bound, note)

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the bound; None without one."""
        return None if self.bound is None else self.median <= self.bound


@contextlib.contextmanager
def on_processor(number: int) -> Iterator[None]:
    """Keep this thread on one of the processors that it may use, where the platform can; counted from the last."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(allowed, reverse=True)[number % len(allowed)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def interleave(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run every contender once a round, back and forth.

    Args:
        contenders: By name, what does the work once and returns its cost.
        rounds: At least 1; one more round is run first and thrown away.

    Returns:
        By name, the costs of the rounds in order.
    """
    costs: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(rounds + 1):
            names.reverse()
            for name in names:
                cost = contenders[name]()
                if number:
                    costs[name].append(cost)
            if number % COLLECT_EVERY == 0:
                gc.collect()
    finally:
        if collecting:
            gc.enable()
    return costs


def differences(costs: Mapping[str, list[float]], name: str, control: str) -> list[float]:
    """What a contender cost beyond the control, round by round."""
    return [mine - bare for mine, bare in zip(costs[name], costs[control], strict=True)]


def ratios(costs: Mapping[str, list[float]], name: str, control: str) -> list[float]:
    """A contender's cost over the control's, round by round."""
    return [mine / bare for mine, bare in zip(costs[name], costs[control], strict=True)]


def expect(what: str, counted: float, expected: float) -> None:
    """Refuse a result that was measured on other work than intended.

    Raises:
        RuntimeError: The numbers differ.
    """
    if counted != expected:
        raise RuntimeError(f"{what}: counted {counted}, expected exactly {expected}; the figure would be worthless")
