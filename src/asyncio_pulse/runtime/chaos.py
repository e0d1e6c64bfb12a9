"""Chaos: parks and preempts at random, so that tests meet the orders of execution of a loaded service.

Every governed loop of the process intervenes at random permitted points, whatever the tiers. Run your test suite under it.
A correct program stays correct. A test that fails under chaos depends on an order that asyncio never promised.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import Any

from asyncio_pulse.errors import ConfigError
from asyncio_pulse.policy.ranges import Range, Setting, Share, refuse, setting_faults
from asyncio_pulse.runtime.afterwards import AFTERWARDS
from asyncio_pulse.runtime.ledger import managers
from asyncio_pulse.runtime.lock import LOCK
from asyncio_pulse.runtime.manager import TierManager

__all__ = ["CHAOS_VARIABLE", "Chaos", "chaos", "current_chaos"]

CHAOS_VARIABLE = "ASYNCIO_PULSE_CHAOS"
"""`SEED` or `SEED,PARK,PREEMPT`: puts every loop under chaos as soon as it is governed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Chaos:
    """Seed and probabilities; probabilities of 0 do nothing."""

    seed: int
    park: float
    preempt: float

    def apply(self, manager: TierManager) -> None:
        """Put a loop under chaos."""
        # Workers differ from one another, but each behaves the same in every run.
        manager.governor.set_chaos((self.seed + manager.worker_id) % 2**64, self.park, self.preempt)


_CALM = Chaos(0, 0.0, 0.0)
_current = [_CALM]


_PROBABILITY = Share(0.2)
_SEED = Range(0, 0, 2**64 - 1)


def _checked(seed: object, park: object, preempt: object) -> Chaos:
    settings: dict[str, Setting] = {"seed": _SEED, "park": _PROBABILITY, "preempt": _PROBABILITY}
    given: dict[str, Any] = {"seed": seed, "park": park, "preempt": preempt}
    refuse("chaos", setting_faults(settings, given))
    return Chaos(**given)


@contextlib.contextmanager
def chaos(seed: int, *, park: float = 0.2, preempt: float = 0.2) -> Iterator[None]:
    """Intervene at random on every governed loop of the process, for the duration of a `with` block.

    Args:
        seed: The same seed makes the same decisions in the same program, 0..2**64-1.
        park: Probability that a task's resumption first waits in the slow queue, 0..1.
        preempt: Probability that a poll of a preemptible task is asked to suspend at its next safe point, 0..1.

    Raises:
        ConfigError: A value is of the wrong type or out of its range.
    """
    fresh = _checked(seed, park, preempt)
    with AFTERWARDS, LOCK:
        earlier, _current[0] = _current[0], fresh
        _apply_everywhere()
    try:
        yield
    finally:
        with AFTERWARDS, LOCK:
            _current[0] = earlier
            _apply_everywhere()


def _apply_everywhere() -> None:
    for manager in managers():
        _current[0].apply(manager)


def current_chaos() -> Chaos:
    """Return the chaos for a loop that is governed from now on.

    Raises:
        ConfigError: The value of `ASYNCIO_PULSE_CHAOS` is invalid.
    """
    return _current[0] if _current[0] is not _CALM else _from_environment()


def _from_environment() -> Chaos:
    text = os.environ.get(CHAOS_VARIABLE, "")
    if not text:
        return _CALM
    try:
        seed, *probabilities = text.split(",")
        park, preempt = (float(each) for each in probabilities) if probabilities else (0.2, 0.2)
        return _checked(int(seed), park, preempt)
    except ValueError as error:
        raise ConfigError(f"{CHAOS_VARIABLE} must be SEED or SEED,PARK,PREEMPT, got {text!r:.60}") from error
