"""The configuration door: everything that says how a loop is governed."""

from __future__ import annotations

from asyncio_pulse.errors import ConfigError
from asyncio_pulse.policy.policies import TierConfig
from asyncio_pulse.policy.priority import TaskPriority

__all__ = ["ConfigError", "TaskPriority", "TierConfig"]
