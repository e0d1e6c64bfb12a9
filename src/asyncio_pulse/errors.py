"""Every error that asyncio-pulse raises, in one place.

One root, `PulseError`, so that a caller can catch all of them; and each error is also the natural built-in, so that a
caller who never heard of us catches it too.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ConfigError", "ConfigFault", "NotGovernedError", "PulseError", "UnavailableError"]


class PulseError(Exception):
    """Root of every error raised by asyncio-pulse."""


class ConfigFault(NamedTuple):
    """One thing that is wrong with a configuration; as text, a sentence about it."""

    field: str
    """Path of the setting, such as `tiers.warn.promotion_threshold`."""
    value: object
    """What was given."""
    allowed: str
    """What may be given, such as `a whole number from 1 to 1000000`."""
    message: str
    """The sentence."""

    def __str__(self) -> str:
        """Return the sentence."""
        return self.message


class ConfigError(PulseError, ValueError):
    """A configuration value is of the wrong type or out of its range; nothing was changed.

    Args:
        message: What failed, the values, and what is allowed.
        faults: The same for programs, one by one; empty if no single setting is to blame, as with an unreadable file.
    """

    def __init__(self, message: str, faults: tuple[ConfigFault, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults


class NotGovernedError(PulseError, RuntimeError):
    """The call needs a governed loop or a governed task, and there is none here."""


class UnavailableError(PulseError, RuntimeError):
    """A feature needs something that this platform or installation does not have."""
