"""The configuration door: everything that says how a loop is governed."""

from __future__ import annotations

from asyncio_pulse.errors import ConfigError
from asyncio_pulse.policy.policies import TierConfig
from asyncio_pulse.policy.priority import TaskPriority
from asyncio_pulse.policy.slow_queue import SchedulingAlgorithm, SlowQueueConfig

__all__ = ["ConfigError", "SchedulingAlgorithm", "SlowQueueConfig", "TaskPriority", "TierConfig"]
