"""Converts the core's records of groups to values."""

from __future__ import annotations

from typing import Any

from asyncio_pulse import _core
from asyncio_pulse.metrics.model import GroupMetrics
from asyncio_pulse.runtime.decisions import Account

__all__ = ["group_values"]


def group_values(records: list[tuple[_core.Group, _core.Account | None, bytes]]) -> tuple[GroupMetrics, ...]:
    """Convert records of the core, in their order. Their numbers are unpacked when they are first read."""
    # Nearly all records have no account and need no conversion here.
    sources = [record if record[1] is None else (record[0], _tier_of(record[1]), record[2]) for record in records]
    return GroupMetrics.from_sources(sources)


def _tier_of(account: _core.Account) -> dict[str, Any] | None:
    if not isinstance(account, Account):
        return None
    shown: dict[str, Any] = {"tier": int(account.tier), "tier_reason": account.standing.reason}
    breaker = account.breaker
    if breaker is not None:
        shown["breaker"] = str(breaker.state)
        shown["breaker_trips"] = breaker.trips
        shown["breaker_wait_ms"] = breaker.wait_ms
    return shown
