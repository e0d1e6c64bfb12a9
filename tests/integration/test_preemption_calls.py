"""C code between Python functions: where it only passes a call on, what it calls may be left; elsewhere it may not."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator

import pytest

from tests.support.loops import LoopFactory
from tests.support.preempting import endanger

inside = 0

BUDGET_US = 300
"""A third of what `work` takes, so that each of its calls is asked."""


def work(*_: object, **__: object) -> int:
    global inside
    inside += 1
    for _number in range(30_000):
        pass
    inside -= 1
    return 1


class Made:
    def __init__(self) -> None:
        work(self)


class MadeAnew:
    def __new__(cls) -> MadeAnew:
        self = super().__new__(cls)
        work(self)
        return self


class MadeByBoth(Made):
    def __init__(self) -> None:
        super().__init__()
        work(self)


class FailedError(Exception):
    def __init__(self, *values: object) -> None:
        super().__init__(*values)
        work(self)


class Captured:
    def __init__(self) -> None:
        # A function inside uses `self`, too.
        self.function = lambda: self
        work(self)


class Rich:
    """Does all its work in methods that instructions call."""

    def __call__(self, *_: object) -> int:
        return work()

    def __add__(self, other: object) -> int:
        return work()

    def __lt__(self, other: object) -> bool:
        return bool(work())

    def __neg__(self) -> int:
        return work()

    def __getitem__(self, key: object) -> int:
        return work()

    def __contains__(self, key: object) -> bool:
        return bool(work())

    def __iter__(self) -> Iterator[int]:
        work()
        return iter((1,))

    def __getattr__(self, name: str) -> int:
        return work()

    @property
    def costs(self) -> int:
        return work()


class Counting:
    def __init__(self) -> None:
        self.left = 3

    def __iter__(self) -> Counting:
        return self

    def __next__(self) -> int:
        self.left -= 1
        if self.left == 0:
            raise StopIteration
        return work()


class Table(dict[int, int]):
    def __getitem__(self, key: int) -> int:
        return work()


@functools.cache
def cached(key: object) -> int:
    return work()


rich = Rich()
table = Table({1: 1})
partial = functools.partial(functools.partial(work, 1), key=2)


def make_cached() -> None:
    cached.cache_clear()
    cached(1)


def with_arguments_unpacked() -> None:
    work(*(1, 2), key=3)


PASSED_ON: dict[str, Callable[[], object]] = {
    "a constructor": Made,
    "__new__": MadeAnew,
    "one that calls its base's": MadeByBoth,
    "that of an exception": lambda: FailedError(1),
    "one with a cell": Captured,
    "an object that is called": lambda: rich(1),
    "partial": partial,
    "lru_cache": make_cached,
    "unpacked arguments": with_arguments_unpacked,
    "a property": lambda: rich.costs,
    "__getattr__": lambda: rich.unknown,
    "an operator": lambda: rich + 1,
    "a comparison": lambda: rich < 1,
    "a sign": lambda: -rich,
    "a subscript": lambda: rich[1],
    "a search": lambda: 1 in rich,
    "an iterator's beginning": lambda: [None for _ in rich],
    "an iterator": lambda: [None for _ in Counting()],
    "a mapping": lambda: table[1],
}


@pytest.mark.parametrize("name", PASSED_ON)
def test_what_c_code_only_calls_may_be_left(name: str, loop_factory: LoopFactory) -> None:
    seen: list[int] = []

    async def computing() -> None:
        PASSED_ON[name]()

    endanger(computing, loop_factory, times=30, poll_budget_us=BUDGET_US, wrong=lambda: seen.append(inside))
    assert max(seen) > 0


class Source:
    """What C code copies item by item."""

    def keys(self) -> list[int]:
        return [1, 2, 3]

    def __getitem__(self, key: int) -> int:
        return work()


class Right:
    def __radd__(self, other: object) -> int:
        return work()

    def __lt__(self, other: object) -> bool:
        return bool(work())

    def __hash__(self) -> int:
        return work()

    def __eq__(self, other: object) -> bool:
        return bool(work())

    def __index__(self) -> int:
        return work()


right = Right()

HELD: dict[str, Callable[[], object]] = {
    "sort": lambda: [1, 2].sort(key=work),
    "sort by the items' own comparison": lambda: sorted([Right(), Right()]),
    "a class as a key": lambda: sorted([1, 2], key=lambda _: Made() and 1),
    "min": lambda: min([1, 2], key=work),
    "map": lambda: list(map(work, (1, 2))),
    "a comparison of lists": lambda: [right] == [Right()],
    "the right operand": lambda: 1 + right,
    "a key's hash": lambda: {right: 1},
    "an index": lambda: [1, 2][right],
    "json": lambda: json.dumps([object()], default=work),
    "update": lambda: {}.update(Source()),
    "reduce": lambda: functools.reduce(work, (1, 2, 3)),
    "partial of C code": lambda: functools.partial(sorted, key=work)([1, 2]),
    "lru_cache of C code": lambda: functools.lru_cache(maxsize=1)(functools.partial(sorted, key=work))((1, 2)),
}


@pytest.mark.parametrize("name", HELD)
def test_c_code_that_is_in_the_middle_of_something_is_left_alone(name: str, loop_factory: LoopFactory) -> None:
    async def computing() -> None:
        HELD[name]()
        for _ in range(30_000):
            pass

    endanger(computing, loop_factory, rule="c_code", times=30, poll_budget_us=BUDGET_US, wrong=lambda: inside)
