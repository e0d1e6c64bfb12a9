"""What the core finds in code objects, against what the interpreter's own disassembler says."""

from __future__ import annotations

import asyncio
import dis
import threading
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import pytest

from asyncio_pulse import _core

BEGINS, YIELDED, LOOPS, AWAITS, ITERATES, WITH, HANDLES = (1 << bit for bit in range(7))
lock = threading.Lock()


def lines(code: CodeType, mark: int) -> set[int]:
    """Lines, counted from the function's own, on which an instruction has a mark."""
    marks = _core.code_marks(code)
    return {
        instruction.positions.lineno - code.co_firstlineno
        for instruction in dis.get_instructions(code)
        if instruction.positions and instruction.positions.lineno and marks[instruction.offset // 2] & mark
    }


def opcodes(code: CodeType, mark: int) -> set[str]:
    marks = _core.code_marks(code)
    return {each.opname for each in dis.get_instructions(code) if marks[each.offset // 2] & mark}


def with_inside_try(values: list[int]) -> int:
    total = 0
    for value in values:
        try:
            with lock:
                total += value
            total += 1
        except KeyError:
            total -= 1
        finally:
            total *= 2
    return total


def try_inside_with(values: list[int]) -> int:
    total = 0
    with lock:
        for value in values:
            try:
                total += value
            except KeyError:
                total -= 1
        if total:
            return total
    return -total


async def with_asynchronously() -> None:
    async with asyncio.Lock():
        await asyncio.sleep(0)
    while True:
        pass


def generating() -> Iterator[int]:
    yield 1
    yield from generating()


def test_a_with_statement_is_marked_to_its_end() -> None:
    assert lines(with_inside_try.__code__, WITH) == {4, 5}
    assert lines(try_inside_with.__code__, WITH) >= {2, 3, 5, 6, 7, 8, 9}
    assert 10 not in lines(try_inside_with.__code__, WITH)


def test_every_way_out_of_a_with_is_marked() -> None:
    code = try_inside_with.__code__
    marks = _core.code_marks(code)
    calls = [each for each in dis.get_instructions(code) if each.opname in ("CALL", "WITH_EXCEPT_START", "BEFORE_WITH")]
    assert len(calls) >= 3
    assert all(marks[call.offset // 2] & WITH for call in calls)


def test_lines_of_handlers_are_marked_on_the_normal_way_too() -> None:
    marked = lines(with_inside_try.__code__, HANDLES)
    assert {7, 8, 10} <= marked
    assert not marked & {2, 5, 6, 11}


def loop_around(items: Any) -> None:
    for item in items:
        try:
            print(item)
        except ValueError:
            continue
        finally:
            for each in item:
                print(each)


def loop_around_pass(items: Any) -> None:
    while items:
        try:  # noqa: SIM105
            print(items)
        except ValueError:
            pass


def loop_inside(items: Any) -> None:
    try:
        print(items)
    finally:
        for item in items:
            print(item)
    try:
        print(items)
    except ValueError:
        while items:
            print(items)


@pytest.mark.parametrize(
    ("function", "in_handlers"),
    [(loop_around, {7}), (loop_around_pass, set()), (loop_inside, {4, 5, 9, 10})],
    ids=["for", "while", "inside"],
)
def test_the_jump_from_a_handler_to_the_next_round_is_no_part_of_it(
    function: Callable[..., Any], in_handlers: set[int]
) -> None:
    code = function.__code__
    marks = _core.code_marks(code)
    by_offset = {each.offset: each for each in dis.get_instructions(code)}
    # At the other ones no signal is handled.
    jumps = [each for each in by_offset.values() if "JUMP_BACKWARD" in each.opname and "NO_INT" not in each.opname]
    assert jumps
    for jump in jumps:
        positions = by_offset[jump.argval].positions
        assert positions is not None
        assert positions.lineno is not None
        is_inside = positions.lineno - code.co_firstlineno in in_handlers
        assert bool(marks[jump.offset // 2] & HANDLES) == is_inside, jump


def test_the_body_of_an_asynchronous_with_is_no_handler_and_no_critical_section() -> None:
    code = with_asynchronously.__code__
    assert 2 not in lines(code, HANDLES)
    assert not {2, 3, 4} & lines(code, WITH)
    assert {1, 2} <= lines(code, AWAITS)
    assert lines(code, LOOPS) & {3, 4}


@pytest.mark.parametrize("function", [with_inside_try, try_inside_with, with_asynchronously, generating])
def test_marks_are_where_the_disassembler_has_the_instructions(function: Callable[..., Any]) -> None:
    code = function.__code__
    assert opcodes(code, BEGINS) == {"RESUME"}
    assert opcodes(code, ITERATES) <= {"FOR_ITER"}
    assert opcodes(code, AWAITS) <= {"SEND", "YIELD_VALUE", "RESUME"}
    assert all("JUMP_BACKWARD" in name for name in opcodes(code, LOOPS))
    found = {each.offset for each in dis.get_instructions(code) if each.opname == "RESUME" and (each.arg or 0) & 3 == 1}
    marks = _core.code_marks(code)
    assert {offset * 2 for offset, mark in enumerate(marks) if mark & YIELDED} == found


def test_a_call_stands_at_its_caches_with_the_same_mark() -> None:
    code = with_inside_try.__code__
    marks = _core.code_marks(code)
    instructions = list(dis.get_instructions(code, show_caches=True))
    before = None
    for each in instructions:
        if each.opname == "CACHE" and before is not None:
            assert marks[each.offset // 2] == marks[before.offset // 2]
        else:
            before = each


def test_only_code_has_marks() -> None:
    with pytest.raises(TypeError, match="a code object was expected, got 3"):
        _core.code_marks(3)  # type: ignore[arg-type]
