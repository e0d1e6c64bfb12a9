"""A million preemptions at random of a program of asyncio's primitives; some thousands in the short form."""

from __future__ import annotations

import time

import pytest

from asyncio_pulse.testing import chaos
from tests.isolated.measuring import rounds
from tests.support.loops import LoopFactory
from tests.support.preempting import endanger
from tests.support.primitives import Primitives

PREEMPTIONS = rounds(short=3_000, long=1_000_000)


@pytest.mark.parametrize("seed", [1, 2])
def test_primitives_hold_under_many_preemptions(loop_factory: LoopFactory, seed: int) -> None:
    shared = Primitives()
    began = time.monotonic()
    with chaos(seed, park=0.05, preempt=0.95):
        endanger(shared.work, loop_factory, rule="module", tasks=5, times=PREEMPTIONS, within_s=900)
    shared.check_end()
    print(f"{PREEMPTIONS} preemptions in {time.monotonic() - began:.0f} s, {shared.got} items through the queue")
