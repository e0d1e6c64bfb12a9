"""An account of the state machine, on a clock that only the test moves."""

from __future__ import annotations

from asyncio_pulse import TaskPriority, TierConfig
from asyncio_pulse.policy import state_machine
from asyncio_pulse.policy.state_machine import BadPoll, Rules, Standing, TierStep
from asyncio_pulse.policy.tier_config import InterventionAction

NS_PER_MS = 1_000_000
# Any moment will do; a large one, because real clocks do not begin at zero.
BEGIN_NS = 1_234_567 * NS_PER_MS


class Clocked:
    """What the runtime and the core do for one account."""

    def __init__(
        self,
        config: TierConfig | None = None,
        priority: TaskPriority = TaskPriority.NORMAL,
        max_tier: InterventionAction | None = None,
    ) -> None:
        self.config = TierConfig() if config is None else config
        self.priority = priority
        self.max_tier = max_tier
        self.frozen = False
        self.now_ns = BEGIN_NS
        self.standing = Standing.new(self.now_ns)
        self.steps: list[tuple[int, TierStep]] = []
        self.good_run = 0

    @property
    def tier(self) -> InterventionAction:
        return self.standing.tier

    @property
    def rules(self) -> Rules:
        return Rules.of(self.config, self.priority, self.max_tier, frozen=self.frozen)

    def bad(
        self,
        times: int = 1,
        *,
        after_ms: float = 1,
        over_ms: float = 1,
        violation: bool = True,
        slow: bool = False,
        waited: bool = True,
        wall_ms: float = 0,
    ) -> None:
        """Poll badly, each time after a while."""
        over_ns = int(over_ms * NS_PER_MS) if violation else 0
        poll = BadPoll(violation, slow, over_ns, waited, int(wall_ms * NS_PER_MS))
        for _ in range(times):
            self.wait(after_ms)
            self.good_run = 0
            self._note(state_machine.on_bad_poll(self.standing, poll, self.rules, self.now_ns))

    def good(self, times: int = 1, *, after_ms: float = 1) -> None:
        """Poll well, each time after a while, and have it told each time."""
        for _ in range(times):
            self.wait(after_ms)
            self.good_run += 1
            self._note(state_machine.on_good_polls(self.standing, self.good_run, self.rules, self.now_ns))

    def mediocre(self) -> None:
        """Poll neither well nor badly: the core begins to count anew, and tells nobody."""
        self.good_run = 0

    def wait(self, ms: float) -> None:
        self.now_ns += int(ms * NS_PER_MS)

    def wake(self) -> None:
        """Begin a poll after a long time."""
        self._note(state_machine.decay(self.standing, self.rules, self.now_ns))

    def reconfigure(self, config: TierConfig) -> None:
        self.config = config
        self.enforce_cap()

    def enforce_cap(self) -> None:
        self._note(state_machine.enforce_cap(self.standing, self.rules, self.now_ns))

    def rise_to(self, tier: InterventionAction) -> None:
        """Offend, hurting others, until it is there."""
        while self.tier < tier:
            self.bad(after_ms=10, over_ms=100)

    def _note(self, step: TierStep | None) -> None:
        if step is not None:
            self.good_run = 0
            self.steps.append((self.now_ns, step))
