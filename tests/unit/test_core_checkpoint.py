"""Checkpoints and budget_spent: operations are spent exactly, and refilled with every poll."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest

from asyncio_pulse import _core as core
from tests.support.driving import Driven, configure, pause

OPERATIONS = 10


@pytest.fixture
def governor() -> core.Governor:
    governor = core.Governor(0)
    configure(governor, operations=OPERATIONS)
    return governor


def polls_of(governor: core.Governor, body: Callable[[], Awaitable[Any]]) -> int:
    """Run a body as a task until it ends, and count its polls."""

    async def task() -> None:
        await body()

    driven = Driven(governor, task())
    while driven.poll():
        pass
    return governor.counters()["polls"]


def yields_of(checkpoint: core.Checkpoint) -> int:
    waiting = checkpoint.__await__()
    count = 0
    while next(waiting, "done") is None:
        count += 1
    return count


def test_a_checkpoint_gives_way_when_the_last_operation_is_spent(governor: core.Governor) -> None:
    async def body() -> None:
        for _ in range(OPERATIONS * 3):
            await core.checkpoint()

    assert polls_of(governor, body) == 4
    assert governor.counters()["voluntary_yields"] == 3


def test_a_dear_operation_spends_what_it_costs(governor: core.Governor) -> None:
    left = []

    async def body() -> None:
        assert core.budget_spent(4) is False
        left.append(core.current().operations_left)  # type: ignore[union-attr]
        assert core.budget_spent(cost=5) is False
        assert core.budget_spent() is True
        assert core.budget_spent() is True
        left.append(core.current().operations_left)  # type: ignore[union-attr]
        await core.checkpoint(cost=2**62)
        left.append(core.current().operations_left)  # type: ignore[union-attr]

    assert polls_of(governor, body) == 2
    assert left == [6, 0, OPERATIONS]


def test_time_spends_the_budget_too(governor: core.Governor) -> None:
    async def body() -> None:
        assert core.budget_spent() is False
        configure(governor, budget_us=0, operations=OPERATIONS)
        assert core.budget_spent() is True
        assert core.current().operations_left > 0  # type: ignore[union-attr]

    polls_of(governor, body)


def test_a_checkpoint_that_need_not_yield_is_done_at_once(governor: core.Governor) -> None:
    async def body() -> None:
        assert yields_of(core.checkpoint()) == 0

    assert polls_of(governor, body) == 1


def test_a_checkpoint_that_yields_does_so_once(governor: core.Governor) -> None:
    async def body() -> None:
        spent = core.checkpoint(OPERATIONS)
        assert yields_of(spent) == 1
        assert yields_of(spent) == 0
        again = core.checkpoint()
        await again
        await again

    assert polls_of(governor, body) == 2


def test_a_class_may_await_it_in_its_own_way(governor: core.Governor) -> None:
    class Polite:
        def __await__(self) -> Generator[Any, Any, None]:
            yield from core.checkpoint(OPERATIONS).__await__()

    async def body() -> None:
        await Polite()

    assert polls_of(governor, body) == 2


def test_an_error_may_be_thrown_into_a_checkpoint(governor: core.Governor) -> None:
    async def task() -> None:
        await core.checkpoint(OPERATIONS)

    driven = Driven(governor, task())
    assert driven.poll()
    driven.throw(KeyError("wanted"))


def test_a_call_spends_its_own_operations(governor: core.Governor) -> None:
    seen = []

    async def call() -> None:
        core.budget_spent(3)
        seen.append(core.current().operations_left)  # type: ignore[union-attr]
        await pause()
        seen.append(core.current().operations_left)  # type: ignore[union-attr]

    async def body() -> None:
        core.budget_spent(8)
        await core.GovernedCoroutine(call())
        seen.append(core.current().operations_left)  # type: ignore[union-attr]

    polls_of(governor, body)
    assert seen == [OPERATIONS - 3, OPERATIONS, OPERATIONS]


def test_where_nothing_governs_nothing_is_spent() -> None:
    assert core.current() is None
    assert core.budget_spent() is False
    assert core.budget_spent(2**62) is False
    assert yields_of(core.checkpoint(2**62)) == 0


@pytest.mark.parametrize("function", [core.checkpoint, core.budget_spent], ids=["checkpoint", "budget_spent"])
@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "message"),
    [
        ((0,), {}, ValueError, "cost must be at least 1 operation, got 0"),
        ((), {"cost": -3}, ValueError, "cost must be at least 1 operation, got -3"),
        ((2**70,), {}, OverflowError, "too"),
        (("many",), {}, TypeError, "'str' object cannot be interpreted as an integer"),
        ((1, 2), {}, TypeError, "takes one argument at most, cost"),
        ((1,), {"cost": 1}, TypeError, "takes one argument at most, cost"),
        ((), {"price": 1}, TypeError, "takes one argument at most, cost"),
    ],
    ids=str,
)
def test_bad_costs_are_named(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        function(*arguments, **keywords)


@pytest.mark.parametrize("function", ["checkpoint", "budget_spent"])
def test_the_error_names_the_function(function: str) -> None:
    with pytest.raises(TypeError, match=f"^{function} takes"):
        getattr(core, function)(1, 2)
