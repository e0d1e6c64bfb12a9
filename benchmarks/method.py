"""The method of all benchmarks.

The speed of a shared machine drifts by more than the differences to be measured. Contenders, a control among them,
therefore run in turn, in one process on one processor, and the order is reversed every round. The result is the difference
to the control *of the same round*. Rounds are many and short. Five runs of them give five medians; their median and
extremes are reported. Where the work never waits, time is CPU time of the thread, which excludes other processes. The
garbage collector is off during a round.
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
# A round may be shorter than a collection, so collections do not follow every round.
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
    """The largest allowed value; None without a bound."""
    note: str = ""

    @classmethod
    def of(cls, name: str, unit: str, values: Iterable[float], bound: float | None = None, note: str = "") -> Figure:
        """Summarise the values of all rounds, which are divided into runs in order."""
        rounds = list(values)
        size = max(1, len(rounds) // RUNS)
        ordered = sorted(statistics.median(rounds[first : first + size]) for first in range(0, len(rounds), size))
        return cls(name, unit, statistics.median(ordered), ordered[0], ordered[-1], bound, note)

    @property
    def met(self) -> bool | None:
        """Whether the median is within the bound; None without a bound."""
        return None if self.bound is None else self.median <= self.bound


@contextlib.contextmanager
def on_processor(number: int) -> Iterator[None]:
    """Keep this thread on one of its allowed processors, counted from the last, if the platform supports it."""
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
    """Run every contender once per round, in alternating order.

    Args:
        contenders: Functions by name that do the work once and return its cost.
        rounds: Number of rounds, at least 1. One more round is run first and discarded.

    Returns:
        Costs of the rounds in order, by name.
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
    """Return a contender's cost beyond the control's, round by round."""
    return [mine - bare for mine, bare in zip(costs[name], costs[control], strict=True)]


def ratios(costs: Mapping[str, list[float]], name: str, control: str) -> list[float]:
    """Return a contender's cost divided by the control's, round by round."""
    return [mine / bare for mine, bare in zip(costs[name], costs[control], strict=True)]


def expect(what: str, counted: float, expected: float) -> None:
    """Refuse a result that was measured on other work than intended.

    Raises:
        RuntimeError: The numbers differ.
    """
    if counted != expected:
        raise RuntimeError(f"{what}: counted {counted}, expected exactly {expected}; the figure would be worthless")
