"""The door for tests: chaos delays and preempts tasks at random, and so finds code that depends on luck."""

from __future__ import annotations

from asyncio_pulse.runtime.chaos import chaos

__all__ = ["chaos"]
