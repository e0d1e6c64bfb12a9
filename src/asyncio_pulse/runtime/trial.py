"""Tries once a process whether this Python can suspend a coroutine in the middle of its code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator

from asyncio_pulse import _core

__all__ = ["suspending_works"]


def _nested(suspend: Callable[[], None], depth: int) -> int:
    if depth:
        return 1 + _nested(suspend, depth - 1)
    suspend()
    return 0


def _generate(suspend: Callable[[], None]) -> Iterator[int]:
    for number in range(3):
        suspend()
        yield number


async def _sample(suspend: Callable[[], None]) -> list[object]:
    """Compute what depends on frames, exceptions being handled and generators of the coroutine itself."""
    seen: list[object] = []
    for number in range(3):
        try:
            seen.append(_nested(suspend, 10 * number))
            raise ValueError(number)
        except ValueError as error:
            suspend()
            seen.append((str(error), sys.exc_info()[1] is error))
        seen.append(sys.exc_info())
    seen += _generate(suspend)
    return seen


def _between() -> None:
    """Leave other things on the stacks than the suspended coroutine had there."""
    try:
        raise KeyError(_nested(lambda: None, 20))
    except KeyError:
        list(_generate(lambda: None))


@functools.cache
def suspending_works() -> bool:
    """Return whether a coroutine that is suspended in its middle computes the same as one that is not."""
    try:
        return _core.try_suspension(_sample(_core.suspend_trial), _between) == _core.try_suspension(
            _sample(lambda: None), _between
        )
    except Exception:
        return False
