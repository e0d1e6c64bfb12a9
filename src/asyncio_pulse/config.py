"""The configuration door: every setting that controls how a loop is governed."""

from __future__ import annotations

from asyncio_pulse.errors import ConfigError
from asyncio_pulse.policy.builder import TierPolicyBuilder
from asyncio_pulse.policy.group_policy import GroupPolicy
from asyncio_pulse.policy.priority import TaskPriority
from asyncio_pulse.policy.profiles import ConfigProfile
from asyncio_pulse.policy.slow_queue import SchedulingAlgorithm, SlowQueueConfig
from asyncio_pulse.policy.tier_config import TierConfig
from asyncio_pulse.policy.tier_policy import InterventionAction, TierPolicy

__all__ = [
    "ConfigError",
    "ConfigProfile",
    "GroupPolicy",
    "InterventionAction",
    "SchedulingAlgorithm",
    "SlowQueueConfig",
    "TaskPriority",
    "TierConfig",
    "TierPolicy",
    "TierPolicyBuilder",
]
