"""Which groups are health routes."""

from __future__ import annotations

import pytest

from asyncio_pulse.policy.health_routes import is_health_route


@pytest.mark.parametrize(
    "name",
    [
        *("GET /health", "HEAD /healthz", "GET /health/live", "GET /livez", "GET /readyz", "GET /ping", "GET /ping/"),
        "grpc.health.v1.Health/Check",
    ],
)
def test_health_routes(name: str) -> None:
    assert is_health_route(name)


@pytest.mark.parametrize(
    "name", ["GET /pings", "GET /items/health", "/health", "health", "GET (no route)", "shop.Health/Check"]
)
def test_other_groups(name: str) -> None:
    assert not is_health_route(name)
