"""Keeps an asyncio event loop responsive whatever its tasks do.

This is the everyday door. The others are `asyncio_pulse.config` for the configuration, `asyncio_pulse.metrics` for measured
values, `asyncio_pulse.errors`, `asyncio_pulse.testing`, `asyncio_pulse.integrations.asgi`, `.aiohttp` and `.grpc`, and
`asyncio_pulse.lowlevel` for tools. Each public name goes through exactly one door. The exception is the few names of the
configuration and the errors that every program needs: they are here too. So are `TierManager` and `TaskView`, the types of
two results, for annotations.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio_pulse.errors import ConfigError, PulseError
    from asyncio_pulse.policy.group_policy import GroupPolicy
    from asyncio_pulse.policy.priority import TaskPriority
    from asyncio_pulse.policy.profiles import ConfigProfile
    from asyncio_pulse.policy.tier_config import TierConfig
    from asyncio_pulse.policy.tier_policy import InterventionAction, TierPolicy
    from asyncio_pulse.runtime.install import (
        get_manager,
        install,
        new_event_loop,
        new_uvloop_event_loop,
        run,
        uninstall,
    )
    from asyncio_pulse.runtime.manager import TierManager as TierManager
    from asyncio_pulse.runtime.preemption import no_preempt
    from asyncio_pulse.runtime.task_options import TaskView as TaskView
    from asyncio_pulse.runtime.task_options import budget_spent, checkpoint, current, governed, spawn

__all__ = [
    "ConfigError",
    "ConfigProfile",
    "GroupPolicy",
    "InterventionAction",
    "PulseError",
    "TaskPriority",
    "TierConfig",
    "TierPolicy",
    "budget_spent",
    "checkpoint",
    "current",
    "get_manager",
    "governed",
    "install",
    "new_event_loop",
    "new_uvloop_event_loop",
    "no_preempt",
    "run",
    "spawn",
    "uninstall",
]

_HOMES = {
    "asyncio_pulse.errors": (
        "ConfigError",
        "PulseError",
    ),
    "asyncio_pulse.policy.group_policy": ("GroupPolicy",),
    "asyncio_pulse.policy.tier_config": ("TierConfig",),
    "asyncio_pulse.policy.priority": ("TaskPriority",),
    "asyncio_pulse.policy.profiles": ("ConfigProfile",),
    "asyncio_pulse.policy.tier_policy": ("InterventionAction", "TierPolicy"),
    "asyncio_pulse.runtime.task_options": (
        "TaskView",
        "budget_spent",
        "checkpoint",
        "current",
        "governed",
        "spawn",
    ),
    "asyncio_pulse.runtime.install": (
        "get_manager",
        "install",
        "new_event_loop",
        "new_uvloop_event_loop",
        "run",
        "uninstall",
    ),
    "asyncio_pulse.runtime.manager": ("TierManager",),
    "asyncio_pulse.runtime.preemption": ("no_preempt",),
}

_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name on first use, because `asyncio-pulse run` and the programs that it starts need few of them."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
