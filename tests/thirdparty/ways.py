"""The ways that a scenario runs: plain, governed, and governed under chaos; and the proof that it was in danger."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import asyncio_pulse as pulse
from asyncio_pulse.testing import chaos
from tests.support.loops import LoopFactory
from tests.support.preempting import AT_ONCE_US

T = TypeVar("T")
Scenario = Callable[[], Coroutine[Any, Any, T]]

PARK = 0.5
"""Higher than the default: a scenario has few resumptions, and some of them must be struck with any seed."""

PREEMPT = 0.5

SEEDS = int(os.environ.get("ASYNCIO_PULSE_TEST_SEEDS", "2"))
"""How many seeds of chaos each scenario meets; `make test-thirdparty` asks for a hundred."""

OPTED_IN = pulse.TierConfig(poll_budget_us=AT_ONCE_US, groups={"*": pulse.GroupPolicy(preempt="anywhere")})
"""Suspends the scenario's own code between any two statements, and libraries nowhere but at awaits."""

TIMEOUT_S = 60.0
"""For one scenario, which takes well under a second: a wake-up was lost."""


@dataclasses.dataclass
class Danger:
    """How many runs there were, and what they met."""

    runs: int = 0
    polls: int = 0
    parked: int = 0
    preempted: int = 0

    def add(self, more: Danger) -> None:
        """Count another's as well."""
        for name, count in vars(more).items():
            setattr(self, name, getattr(self, name) + count)

    def __str__(self) -> str:
        return f"{self.runs:,} runs, {self.polls:,} polls, {self.parked:,} parked, {self.preempted:,} preempted"


UNDER_CHAOS = Danger()
"""All runs of this process in which chaos struck, without those that have a process for themselves."""


ENDINGS: collections.Counter[str] = collections.Counter()
"""How operations over pools ended that were cancelled at random, governed or not."""


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to run a scenario.

    Attributes:
        governed: Whether the loop is.
        seed: That of the chaos; None without.
    """

    governed: bool
    seed: int | None = None

    @property
    def anywhere(self) -> bool:
        """Whether all tasks of the scenario are in a group that opted in, those of its libraries among them."""
        return self.seed is not None and self.seed % 2 == 1

    def __str__(self) -> str:
        if self.seed is not None:
            return f"chaos{self.seed}"
        return "governed" if self.governed else "plain"

    def run(
        self,
        loop_factory: LoopFactory,
        scenario: Scenario[T],
        config: pulse.TierConfig | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> tuple[T, pulse.TierManager | None]:
        """Run a scenario to its end on a loop of its own.

        Raises:
            TimeoutError: It has not ended after so many seconds.

        Returns:
            What the scenario returned, and the manager of the loop, if it was governed.
        """
        with self._chaos(), asyncio.Runner(loop_factory=loop_factory) as runner:
            loop = runner.get_loop()
            manager = pulse.install(config or self._config(), loop=loop) if self.governed else None
            result = runner.run(asyncio.wait_for(self._grouped(scenario), timeout_s))
            self._check_danger(manager)
        # A library may keep the closed loop, and with it the watchdog.
        pulse.uninstall(loop=loop)
        return result, manager

    def environment(self) -> dict[str, str]:
        """Variables for a process that is to run in this way, if it is governed."""
        return {} if self.seed is None else {"ASYNCIO_PULSE_CHAOS": f"{self.seed},{PARK},{PREEMPT}"}

    def _chaos(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self.seed is None else chaos(self.seed, park=PARK, preempt=PREEMPT)

    def _config(self) -> pulse.TierConfig | None:
        return OPTED_IN if self.anywhere else None

    async def _grouped(self, scenario: Scenario[T]) -> T:
        return await (pulse.spawn(scenario(), group="scenario") if self.anywhere else scenario())

    def _check_danger(self, manager: pulse.TierManager | None) -> None:
        if manager is None:
            return
        met = Danger(
            1, manager.get_metrics().polls, manager.report().slow_queue.parked, manager.report().preemption.preemptions
        )
        assert met.polls > 0, "nothing was governed"
        if self.seed is not None:
            assert met.parked > 0, "chaos did not park"
            # A tracer sees every line, and nothing is preempted between two of them.
            assert met.preempted > 0 or sys.gettrace() is not None, "chaos did not preempt"
            UNDER_CHAOS.add(met)


WAYS = [Way(governed=False), Way(governed=True), *(Way(governed=True, seed=seed) for seed in range(SEEDS))]
