"""Every error that asyncio-pulse raises, in one place.

One root, `PulseError`, so that a caller can catch all of them; and each error is also the natural built-in, so that a
caller who never heard of us catches it too.
"""

from __future__ import annotations

__all__ = ["ConfigError", "NotGovernedError", "PulseError", "UnavailableError"]


class PulseError(Exception):
    """Root of every error raised by asyncio-pulse."""


class ConfigError(PulseError, ValueError):
    """A configuration value is of the wrong type or out of its range; nothing was changed."""


class NotGovernedError(PulseError, RuntimeError):
    """The call needs a governed loop or a governed task, and there is none here."""


class UnavailableError(PulseError, RuntimeError):
    """A feature needs something that this platform or installation does not have."""
