"""The groups of the running loop, by name."""

from __future__ import annotations

import asyncio_pulse as pulse
from asyncio_pulse.metrics.model import GroupMetrics


def groups() -> dict[str, GroupMetrics]:
    return {group.name: group for group in pulse.get_manager().groups()}


def explicit_groups() -> dict[str, GroupMetrics]:
    return {group.name: group for group in pulse.get_manager().groups() if group.explicit}
