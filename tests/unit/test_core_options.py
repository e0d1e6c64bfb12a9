"""Options: what they hold, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from asyncio_pulse._core import Options


def test_what_is_not_given_is_none() -> None:
    options = Options()
    assert (options.priority, options.group, options.budget_us, options.preemptible, options.max_tier) == (None,) * 5


def test_what_is_given_is_kept() -> None:
    options = Options(priority=0, group="orders", budget_us=750, preemptible=False, max_tier=3)
    assert (options.priority, options.group, options.budget_us) == (0, "orders", 750)
    assert (options.preemptible, options.max_tier) == (False, 3)
    assert Options(preemptible=1).preemptible is True


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"priority": 4}, ValueError, "priority must be 0 to 3 or None, got 4"),
        ({"priority": -1}, ValueError, "priority must be 0 to 3 or None, got -1"),
        ({"priority": 2**70}, OverflowError, "too"),
        ({"priority": "high"}, TypeError, "'str' object cannot be interpreted as an integer"),
        ({"max_tier": 4}, ValueError, "max_tier must be 0 to 3 or None, got 4"),
        ({"max_tier": 1.5}, TypeError, "'float' object cannot be interpreted as an integer"),
        ({"budget_us": -5}, ValueError, "budget_us must be 0 to 9223372036854775 or None, got -5"),
        ({"budget_us": 2**63 - 1}, ValueError, "budget_us must be 0 to 9223372036854775 or None"),
        ({"group": 7}, TypeError, "group must be a str or None, got 7"),
        ({"group": type("Name", (str,), {})("x")}, TypeError, "group must be a str or None, got 'x'"),
        ({"code": "f"}, TypeError, "code must be a code object or None, got 'f'"),
        ({"colour": "red"}, TypeError, "colour"),
    ],
    ids=str,
)
def test_bad_input_is_named(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Options(**given)


def test_a_truth_that_cannot_be_told_is_the_caller_s_error() -> None:
    class Undecided:
        def __bool__(self) -> bool:
            raise LookupError("undecided")

    with pytest.raises(LookupError, match="undecided"):
        Options(preemptible=Undecided())  # type: ignore[arg-type]


def test_they_take_keywords_only_and_cannot_change() -> None:
    with pytest.raises(TypeError):
        Options(1)  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Options().priority = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        type("More", (Options,), {})
    with pytest.raises(TypeError, match="immutable"):
        Options.extra = 1  # type: ignore[attr-defined]
