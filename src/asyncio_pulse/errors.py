"""Every error that asyncio-pulse raises, in one place.

All of them have one root, `PulseError`, so that a caller can catch them together. Each error is also the natural built-in,
so that code that does not know asyncio-pulse catches it too.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ConfigError", "ConfigFault", "NotGovernedError", "PulseError", "UnavailableError"]


class PulseError(Exception):
    """Root of every error raised by asyncio-pulse."""


class ConfigFault(NamedTuple):
    """One fault of a configuration. Its text is a sentence."""

    field: str
    """Path of the setting, such as `tiers.warn.promotion_threshold`."""
    value: object
    """The value that was given."""
    allowed: str
    """The values that are allowed, such as `a whole number from 1 to 1000000`."""
    message: str
    """The sentence."""

    def __str__(self) -> str:
        """Return the sentence."""
        return self.message


class ConfigError(PulseError, ValueError):
    """A configuration value has the wrong type or is out of its range; nothing was changed.

    Args:
        message: What failed, the values, and what is allowed.
        faults: The same faults one by one, for programs. Empty if no single setting is to blame, as with an unreadable
            file.
    """

    def __init__(self, message: str, faults: tuple[ConfigFault, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults


class NotGovernedError(PulseError, RuntimeError):
    """The call needs a governed loop or a governed task, and found none."""


class UnavailableError(PulseError, RuntimeError):
    """A feature needs something that this platform or installation does not have."""
