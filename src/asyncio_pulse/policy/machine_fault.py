"""Detects a fault of the machine: too many groups offend at once for the groups to be the cause."""

from __future__ import annotations

import dataclasses

from asyncio_pulse.policy.tier_config import TierConfig

__all__ = ["MachineFault"]

NS_PER_MS = 1_000_000


@dataclasses.dataclass(slots=True)
class MachineFault:
    """Freezes promotion for one window when more than half of the active groups were promoted within one."""

    promoted_ns: dict[str, int] = dataclasses.field(default_factory=dict)
    """Time of each group's last promotion. Promotions older than a window are forgotten."""
    frozen_until_ns: int = 0
    freezes: int = 0
    """How often promotion froze."""

    def is_frozen(self, now_ns: int) -> bool:
        """Whether promotion is frozen now."""
        return now_ns < self.frozen_until_ns

    def on_promotion(self, group: str, active_groups: int, config: TierConfig, now_ns: int) -> bool:
        """Record the promotion of a group.

        Args:
            group: Name of the group.
            active_groups: Number of explicit groups that had polls within the window, this one included.
            config: The configuration in force.
            now_ns: The time, nanoseconds.

        Returns:
            Whether this promotion begins a freeze.
        """
        window_ns = config.promotion_window_ms * NS_PER_MS
        self.promoted_ns = {name: at_ns for name, at_ns in self.promoted_ns.items() if at_ns > now_ns - window_ns}
        self.promoted_ns[group] = now_ns
        if active_groups < config.freeze_min_groups or len(self.promoted_ns) * 2 <= active_groups:
            return False
        self.promoted_ns.clear()
        self.frozen_until_ns = now_ns + window_ns
        self.freezes += 1
        return True
