"""Routes that ask whether a service is alive. An orchestrator restarts the service if they answer late."""

from __future__ import annotations

import re

from asyncio_pulse.policy.priority import TaskPriority

__all__ = ["HEALTH_PRIORITY", "is_health_route"]

HEALTH_PRIORITY = TaskPriority.HIGH
"""Priority of health routes for which neither code nor configuration gives one."""

_HEALTH_ROUTE = re.compile(r"[A-Z]+ /(health.*|livez/?|readyz/?|ping/?)|grpc\.health\.v1\.Health/.*")


def is_health_route(group: str) -> bool:
    """Whether a group, "GET /healthz" or "grpc.health.v1.Health/Check", contains health checks."""
    return _HEALTH_ROUTE.fullmatch(group) is not None
