"""What is true of each instruction of a function: by watching it run, and by its syntax tree."""

from __future__ import annotations

import ast
import dis
import itertools
import sys
import types
from collections.abc import Iterator
from typing import NamedTuple

from asyncio_pulse import _core
from tests.support.generated_code import Run

WITH, HANDLES, ESCAPES = 32, 64, 128

SUSPENDABLE = frozenset(
    [
        *("RESUME", "JUMP_BACKWARD", "POP_JUMP_BACKWARD_IF_TRUE", "POP_JUMP_BACKWARD_IF_FALSE"),
        *("POP_JUMP_BACKWARD_IF_NONE", "POP_JUMP_BACKWARD_IF_NOT_NONE", "SEND", "YIELD_VALUE", "FOR_ITER"),
        *("CALL", "PRECALL", "CALL_KW", "CALL_FUNCTION_EX"),
    ]
)
"""Where a task may be suspended, or where a frame stands while what it called or awaits is suspended."""


AT_END = -1
"""Instead of an offset: after the last instruction of a stretch."""


class Seen(NamedTuple):
    """What held before an instruction once: entered context managers, and whether an exception was being handled."""

    offset: int
    sections: int
    handles: bool


def watch(function: types.FunctionType, seed: int) -> list[list[Seen]]:
    """Run a function, and return what was seen at its instructions, for each stretch without a suspension."""
    run = Run(seed)
    stretches: list[list[Seen]] = []

    def note(frame: types.FrameType, event: str, _: object) -> object:
        if event in ("opcode", "return"):
            offset = frame.f_lasti if event == "opcode" else AT_END
            stretches[-1].append(Seen(offset, run.sections, sys.exc_info()[1] is not None))
        return note

    def begin(frame: types.FrameType, _: str, __: object) -> object:
        if frame.f_code is not function.__code__:
            return None
        frame.f_trace_opcodes = True
        stretches.append([])
        return note

    earlier = sys.gettrace()
    # Python 3.12 looks for frames that trace opcodes when the trace function is set.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(begin)
    try:
        run.run(function)
    finally:
        sys.settrace(earlier)
        sys._getframe().f_trace_opcodes = False
    return stretches


def faults_of_runs(function: types.FunctionType, seeds: range) -> list[str]:
    """Run a function with many seeds, and name the instructions whose marks contradict what was seen."""
    code = function.__code__
    names = {each.offset: each.opname for each in dis.get_instructions(code)}
    marks = _core.code_marks(code)
    inside: set[int] = set()
    outside: set[int] = set()
    faults = []
    for seed in seeds:
        for stretch in watch(function, seed):
            for now, after in itertools.pairwise(stretch):
                mark = marks[now.offset // 2]
                (inside if now.sections or after.sections else outside).add(now.offset)
                if now.sections and not mark & WITH:
                    faults.append(f"{now.offset} {names[now.offset]}: in a with, and not marked")
                if now.handles and not mark & HANDLES:
                    faults.append(f"{now.offset} {names[now.offset]}: handles an exception, and not marked")
    faults += [
        f"{offset} {names[offset]}: in no with, and marked"
        for offset in outside - inside
        if marks[offset // 2] & WITH and names[offset] in SUSPENDABLE and not enters(code, offset)
    ]
    return sorted(set(faults))


def enters(code: types.CodeType, offset: int) -> bool:
    """Whether an instruction calls an `__enter__`: since Python 3.14 it is an ordinary call."""
    before = [each.opname for each in dis.get_instructions(code) if each.offset <= offset][-2:]
    return before == ["LOAD_SPECIAL", "CALL"]


class Place(NamedTuple):
    """What the syntax tree says of a node."""

    in_with: bool
    handles: bool


Span = tuple[int | None, int | None, int | None, int | None]


def span(node: ast.AST) -> Span:
    """Return a node's position, as `co_positions` has it."""
    assert isinstance(node, ast.stmt | ast.expr | ast.excepthandler)
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


class Nesting:
    """The nodes of a function that belong to its own code object, with what surrounds them.

    Attributes:
        places: What holds at the nodes with a position. Positions with two answers are left out: the interpreter gives the
            position of a context manager's expression to what enters and leaves it.
        lines_of_cleanup: Lines of handlers and `finally`, and those on which a `with` begins.
    """

    def __init__(self, function: ast.AST) -> None:
        self.places: dict[Span, Place | None] = {}
        self.lines_of_cleanup: set[int] = set()
        self._loops: list[Place] = []
        self._visit_all(list(ast.iter_child_nodes(function)), Place(in_with=False, handles=False))

    def _note(self, node: ast.AST, place: Place | None) -> None:
        at = span(node)
        self.places[at] = place if self.places.get(at, place) == place else None

    def _visit_all(self, nodes: list[ast.stmt] | list[ast.AST], place: Place) -> None:
        for node in nodes:
            self._visit(node, place)

    def _visit(self, node: ast.AST, place: Place) -> None:
        if isinstance(node, ast.With | ast.AsyncWith):
            self._visit_with(node, place)
        elif isinstance(node, ast.Try | ast.TryStar):
            self._visit_try(node, place)
        elif isinstance(node, ast.For | ast.AsyncFor | ast.While):
            self._visit_loop(node, place)
        elif isinstance(node, ast.Break | ast.Continue):
            # Each `with` between it and its loop has ended when the jump is made.
            self._note(node, self._loops[-1] if self._loops[-1] == place else None)
        elif isinstance(node, ast.Return):
            self._note(node, None)
            self._visit_all(list(ast.iter_child_nodes(node)), place)
        elif is_code_of_its_own(node):
            self._note(node, place)
        else:
            if isinstance(node, ast.stmt | ast.expr):
                self._note(node, place)
            self._visit_all(list(ast.iter_child_nodes(node)), place)

    def _visit_with(self, node: ast.With | ast.AsyncWith, place: Place) -> None:
        self._note(node, None)
        is_sync = isinstance(node, ast.With)
        for item in node.items:
            self._visit(item.context_expr, place)
            self._note(item.context_expr, None)
            self.lines_of_cleanup.add(item.context_expr.lineno)
            place = place._replace(in_with=place.in_with or is_sync)
        self._visit_all(node.body, place)

    def _visit_try(self, node: ast.Try | ast.TryStar, place: Place) -> None:
        cleanup = place._replace(handles=True)
        for block in (node.body, node.orelse):
            self._visit_all(block, place)
        for handler in node.handlers:
            self._visit_all(handler.body, cleanup)
            self.lines_of_cleanup.update(range(handler.lineno, (handler.end_lineno or 0) + 1))
        self._visit_all(node.finalbody, cleanup)
        for each in node.finalbody:
            self.lines_of_cleanup.update(range(each.lineno, (each.end_lineno or 0) + 1))

    def _visit_loop(self, node: ast.For | ast.AsyncFor | ast.While, place: Place) -> None:
        self._note(node, None)
        self._visit_all([node.test] if isinstance(node, ast.While) else [node.target, node.iter], place)
        self._loops.append(place)
        self._visit_all(node.body, place)
        self._loops.pop()
        self._visit_all(node.orelse, place)


def is_code_of_its_own(node: ast.AST) -> bool:
    """Whether the interpreter makes a code object for an expression."""
    comprehensions = (ast.ListComp, ast.SetComp, ast.DictComp) if sys.version_info < (3, 12) else ()
    return isinstance(node, (ast.Lambda, ast.GeneratorExp, *comprehensions))


def placed(code: types.CodeType) -> Iterator[tuple[dis.Instruction, Span]]:
    """Yield the instructions of a code object where a task can be left, with their positions."""
    for each in dis.get_instructions(code):
        at = each.positions
        if each.opname in SUSPENDABLE and at is not None and at.lineno is not None:
            yield each, (at.lineno, at.end_lineno, at.col_offset, at.end_col_offset)


def leaves_handlers(code: types.CodeType, instruction: dis.Instruction, nesting: Nesting) -> bool:
    """Whether an instruction ends a handler by a jump to the next round of a loop around it."""
    if "JUMP_BACKWARD" not in instruction.opname:
        return False
    target = next(each for each in dis.get_instructions(code) if each.offset == instruction.argval)
    return target.positions is not None and target.positions.lineno not in nesting.lines_of_cleanup


def faults_of_nesting(source: str, code: types.CodeType) -> tuple[list[str], int]:
    """Name the instructions whose marks contradict the syntax tree, and count those that it says something about."""
    nesting = Nesting(ast.parse(source).body[0])
    marks = _core.code_marks(code)
    faults = []
    compared = 0
    for instruction, at in placed(code):
        place = nesting.places.get(at)
        if place is None:
            continue
        compared += 1
        mark = marks[instruction.offset // 2]
        where = f"{instruction.offset} {instruction.opname} on line {at[0]}"
        if bool(mark & WITH) != place.in_with:
            faults.append(f"{where}: in a with: {place.in_with}, marks {mark}")
        if place.handles and not mark & HANDLES and not leaves_handlers(code, instruction, nesting):
            faults.append(f"{where}: in a handler, and not marked")
        if mark & HANDLES and not place.handles and at[0] not in nesting.lines_of_cleanup:
            faults.append(f"{where}: in no handler, and marked")
    return faults, compared
