"""The comparison itself: it sees a difference, and the one that there is."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from asyncio_pulse.lowlevel import GovernedCoroutine
from tests.support.comparison import compare, observe
from tests.support.loops import LoopFactory


async def sleeper() -> None:
    await asyncio.sleep(0)


def test_the_comparison_sees_a_difference(loop_factory: LoopFactory) -> None:
    async def scenario() -> str:
        return type(asyncio.current_task().get_coro()).__name__  # type: ignore[union-attr]

    with pytest.raises(pytest.fail.Exception):
        compare(loop_factory, scenario)
    assert observe(loop_factory, scenario, way="governed").outcome == GovernedCoroutine.__name__


def test_the_comparison_sees_a_complaint(loop_factory: LoopFactory) -> None:
    async def scenario() -> None:
        if isinstance(asyncio.current_task().get_coro(), GovernedCoroutine):  # type: ignore[union-attr]
            sleeper()

    with pytest.raises(pytest.fail.Exception):
        compare(loop_factory, scenario)


def test_a_known_difference_is_the_type_of_the_coroutine(loop_factory: LoopFactory) -> None:
    async def scenario() -> bool:
        return inspect.iscoroutine(asyncio.current_task().get_coro())  # type: ignore[union-attr]

    assert observe(loop_factory, scenario, way="plain").outcome is True
    assert observe(loop_factory, scenario, way="governed").outcome is False
