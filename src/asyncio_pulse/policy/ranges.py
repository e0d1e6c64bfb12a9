"""Numbers with a default and bounds, and one way to say what is wrong with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from asyncio_pulse.errors import ConfigError

__all__ = ["Range", "ShareRange", "check_ranges", "refuse"]


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """The values a setting may have: `lowest` to `highest`, both allowed."""

    default: int
    lowest: int
    highest: int

    def clamp(self, value: int) -> int:
        """The nearest allowed value."""
        return max(self.lowest, min(self.highest, value))

    def fault(self, name: str, value: object) -> str | None:
        """What is wrong with a value, or None."""
        if isinstance(value, bool) or not isinstance(value, int):
            return f"{name} must be a whole number from {self.lowest} to {self.highest}, got {value!r}"
        if not self.lowest <= value <= self.highest:
            return f"{name} must be from {self.lowest} to {self.highest}, got {value}"
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class ShareRange:
    """The values a share of something may have: `lowest` to `highest`, both allowed."""

    default: float
    lowest: float
    highest: float

    def fault(self, name: str, value: object) -> str | None:
        """What is wrong with a value, or None."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{name} must be a number from {self.lowest:g} to {self.highest:g}, got {value!r}"
        # The comparison is false for what is not a number.
        if not self.lowest <= value <= self.highest:
            return f"{name} must be from {self.lowest:g} to {self.highest:g}, got {value:g}"
        return None


def refuse(subject: str, faults: Iterable[str]) -> None:
    """Raise ConfigError with every fault, or return if there is none."""
    listed = list(faults)
    if listed:
        raise ConfigError(f"invalid {subject}: {'; '.join(listed)}")


def check_ranges(subject: str, settings: Mapping[str, tuple[object, Range]]) -> None:
    """Check every setting against its range.

    Raises:
        ConfigError: Names every setting at fault, its value and its range.
    """
    faults = (bounds.fault(name, value) for name, (value, bounds) in settings.items())
    refuse(subject, (fault for fault in faults if fault is not None))
