"""Keeps an asyncio event loop responsive whatever its tasks do.

This is the everyday door. `asyncio_pulse.config` has the configuration, and `asyncio_pulse.lowlevel` everything else, for
tools and tests. Each public name goes through exactly one door. The exception is the few names of the configuration that
every program needs: they are here too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio_pulse.errors import ConfigError, NotGovernedError, PulseError, UnavailableError
    from asyncio_pulse.policy.group_policy import GroupPolicy
    from asyncio_pulse.policy.priority import TaskPriority
    from asyncio_pulse.policy.profiles import ConfigProfile
    from asyncio_pulse.policy.tier_config import TierConfig
    from asyncio_pulse.policy.tier_policy import TierPolicy
    from asyncio_pulse.runtime.install import (
        get_manager,
        install,
        new_event_loop,
        new_uvloop_event_loop,
        run,
        uninstall,
    )
    from asyncio_pulse.runtime.manager import TierManager
    from asyncio_pulse.runtime.preemption import no_preempt
    from asyncio_pulse.runtime.task_options import TaskView, budget_spent, checkpoint, current, governed, spawn

__all__ = [
    "ConfigError",
    "ConfigProfile",
    "GroupPolicy",
    "NotGovernedError",
    "PulseError",
    "TaskPriority",
    "TaskView",
    "TierConfig",
    "TierManager",
    "TierPolicy",
    "UnavailableError",
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
        "NotGovernedError",
        "PulseError",
        "UnavailableError",
    ),
    "asyncio_pulse.policy.group_policy": ("GroupPolicy",),
    "asyncio_pulse.policy.tier_config": ("TierConfig",),
    "asyncio_pulse.policy.priority": ("TaskPriority",),
    "asyncio_pulse.policy.profiles": ("ConfigProfile",),
    "asyncio_pulse.policy.tier_policy": ("TierPolicy",),
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
