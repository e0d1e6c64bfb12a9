"""Ordinary traffic in a process that a cgroup holds to 30 % of a CPU; prints what became of it, as JSON.

Usage: throttled.py CGROUP asyncio|uvloop
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

import asyncio_pulse as pulse
from tests.support.traffic import arrive, highest_tier, polls_of

PERIOD_US, QUOTA_US = 100_000, 30_000


def throttle(cgroup: Path) -> None:
    (cgroup / "cpu.cfs_period_us").write_text(str(PERIOD_US))
    (cgroup / "cpu.cfs_quota_us").write_text(str(QUOTA_US))
    (cgroup / "cgroup.procs").write_text(str(os.getpid()))


async def main() -> dict[str, object]:
    manager = pulse.get_manager()
    # Together about 25 % of a CPU: nearly all that there is.
    await asyncio.gather(
        arrive(polls_of(0.3), "GET /often", per_second=300, seconds=4),
        arrive(polls_of(1.5), "GET /seldom", per_second=100, seconds=4),
    )
    return {
        "tier": highest_tier(manager),
        "slow_polls": manager.get_metrics().slow_polls,
        "cpu_ratio": manager.get_derived_metrics().cpu_ratio,
        "errors": manager.get_metrics().internal_errors,
    }


throttle(Path(sys.argv[1]))
factory = pulse.new_uvloop_event_loop if sys.argv[2] == "uvloop" else pulse.new_event_loop
config = pulse.TierConfig(stall_threshold_ms=40)
print(json.dumps(pulse.run(main(), config=config, loop_factory=factory)))
