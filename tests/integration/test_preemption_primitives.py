"""asyncio's own primitives under preemption at random; a million of them in `tests/stress`."""

from __future__ import annotations

from asyncio_pulse.testing import chaos
from tests.support.loops import LoopFactory
from tests.support.preempting import endanger
from tests.support.primitives import Primitives


def test_primitives_hold_under_preemption_at_random(loop_factory: LoopFactory) -> None:
    shared = Primitives()
    with chaos(1, park=0.05, preempt=0.8):
        endanger(shared.work, loop_factory, rule="module", tasks=5)
    shared.check_end()
