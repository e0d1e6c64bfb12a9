"""The latency target, and the settings that follow from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from asyncio_pulse.policy.ranges import Range, must_be, refuse

__all__ = ["DERIVED", "LATENCY_TARGET_MS", "Derived", "derive", "parse_target"]

# Below 1 ms the timers of the system decide. Nobody waits for a minute.
LATENCY_TARGET_MS = Range(20, 1, 60_000)

DERIVED: Mapping[str, Callable[[int], int]] = {
    # Ten polls of the length of a budget fill the target.
    "poll_budget_us": lambda target_ms: target_ms * 100,
    "slow_poll_threshold_ms": lambda target_ms: max(1, target_ms // 2),
    "stall_threshold_ms": lambda target_ms: max(10, target_ms * 5),
    "turn_limit_ms": lambda target_ms: target_ms,
}
"""The value of each setting that follows from the latency target, unless it is given."""


class Derived(int):
    """A value that was derived, not given. It is derived anew with another target."""

    __slots__ = ()


def derive(name: str, target_ms: int) -> Derived:
    """Return the value of a setting of `DERIVED` for a latency target in milliseconds."""
    return Derived(DERIVED[name](target_ms))


def parse_target(field: str, text: str) -> int:
    """Return a latency target in milliseconds.

    Args:
        field: Where the text was given, for the message.
        text: A whole number of milliseconds, `20` or `20ms`, or of seconds, `1s`.

    Raises:
        ConfigError: The text is neither, or out of range.
    """
    found = re.fullmatch(r"\s*(\d{1,9})\s*(ms|s)?\s*", text)
    target_ms = int(found[1]) * (1_000 if found[2] == "s" else 1) if found else None
    if target_ms is None or not LATENCY_TARGET_MS.accepts(target_ms):
        low, high = LATENCY_TARGET_MS.lowest, LATENCY_TARGET_MS.highest
        refuse("latency target", [must_be(field, f"a time from {low}ms to {high}ms, such as 20ms", text)])
    assert target_ms is not None  # refused otherwise
    return target_ms
