"""The circuit breaker: a group that parking makes wait too long is only observed from then on."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

import asyncio_pulse as pulse
from asyncio_pulse.config import ConfigProfile
from tests.support.loops import LoopFactory

pytestmark = pytest.mark.timing

BURN_S = 0.01
HOGS = 20


async def hog() -> None:
    while True:
        end = time.perf_counter() + BURN_S
        while time.perf_counter() < end:
            pass
        await asyncio.sleep(0)


async def main(seconds: float) -> tuple[int, int]:
    """Return how many were parked and let run in the second half."""
    manager = pulse.get_manager()
    hogs = [pulse.spawn(hog(), group="hogs") for _ in range(HOGS)]
    waiter = asyncio.create_task(asyncio.sleep(2 * seconds))
    await asyncio.sleep(seconds)
    parked, let_run = manager.governor.slow_queue()["parked"], manager.get_metrics().would_park
    await waiter
    for task in hogs:
        task.cancel()
    await asyncio.gather(*hogs, return_exceptions=True)
    return manager.governor.slow_queue()["parked"] - parked, manager.get_metrics().would_park - let_run


@pytest.mark.parametrize("breaker_ms", [20, 60_000])
def test_a_group_that_waits_too_long_is_only_observed(
    breaker_ms: int, loop_factory: LoopFactory, caplog: pytest.LogCaptureFixture
) -> None:
    config = pulse.TierConfig(
        park_breaker_ms=breaker_ms, tier_policies=ConfigProfile.AGGRESSIVE.config().tier_policies, promotion_share=0.0
    )
    with caplog.at_level(logging.WARNING, logger="asyncio_pulse"):
        parked, let_run = pulse.run(main(1.5), config=config, loop_factory=loop_factory)
    tripped = [record for record in caplog.records if "only observed" in record.getMessage()]
    if breaker_ms < 1_000:
        # Each waited for the slices of the others, ten times as long as is allowed.
        assert tripped
        assert (parked, let_run > 0) == (0, True)
    else:
        assert not tripped
        assert (parked > 0, let_run) == (True, 0)
