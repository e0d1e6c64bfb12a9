"""A million preemptions at random of a program of asyncio's primitives; `-s` shows how many."""

from __future__ import annotations

import time

import pytest

from asyncio_pulse.lowlevel import chaos
from tests.conftest import LoopFactory
from tests.integration.preempting import endanger
from tests.integration.primitives import Primitives

MILLION = 1_000_000


@pytest.mark.parametrize("seed", [1, 2])
def test_primitives_hold_under_a_million_preemptions(loop_factory: LoopFactory, seed: int) -> None:
    shared = Primitives()
    began = time.monotonic()
    with chaos(seed, park=0.05, preempt=0.95):
        endanger(shared.work, loop_factory, rule="module", tasks=5, times=MILLION, within_s=900)
    shared.check_end()
    print(f"{MILLION} preemptions in {time.monotonic() - began:.0f} s, {shared.got} items through the queue")
