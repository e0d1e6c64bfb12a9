"""Functions with nested statements, written at random, and what may happen in them when they run."""

from __future__ import annotations

import random
import sys
import types
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import Any

DEEPEST = 4
MOST_LINES = 60


class Fault(Exception):  # noqa: N818 - short, for generated code
    """What the generated code raises and handles."""


class Writer:
    """Writes one function. Every simple statement has a line of its own."""

    def __init__(self, chance: random.Random, *, is_async: bool, is_generator: bool) -> None:
        self.chance = chance
        self.is_async = is_async
        self.is_generator = is_generator
        self.lines: list[str] = []

    def write(self) -> str:
        """Return the source."""
        self.lines = [("async " if self.is_async else "") + "def generated():"]
        self.block(1, in_loop=False, in_group=False)
        if self.is_generator:
            self.line(1, "yield")
        return "\n".join(self.lines) + "\n"

    def line(self, depth: int, text: str) -> None:
        """Add a line."""
        self.lines.append(" " * depth + text)

    def block(self, depth: int, *, in_loop: bool, in_group: bool) -> None:
        """Write one to three statements. None may jump out of the handler of an exception group."""
        for _ in range(self.chance.randint(1, 3)):
            if depth > DEEPEST or len(self.lines) > MOST_LINES or self.chance.random() < 0.3:
                self.simple(depth, in_loop, in_group)
            else:
                self.compound(depth, in_loop, in_group)

    def simple(self, depth: int, in_loop: bool, in_group: bool) -> None:
        """Write a simple statement, perhaps under a condition."""
        texts = [
            "fail()",
            "found = [work(each) for each in some() if pick()]",
            "found = {each: work(each) for each in some() for other in some() if pick()}",
            "total = sum(work(each) for each in some())",
            "later = lambda: work(1)",
            "raise Fault",
        ]
        if self.is_generator:
            texts += ["got = yield 1"] * 2
            texts += [] if self.is_async else ["yield from some()"]
        if self.is_async:
            texts += ["await point()"] * 2
        if not in_group:
            texts.append("return" if self.is_async and self.is_generator else "return work(2)")
        if in_loop:
            texts += ["break", "continue"] * 2
        text = self.chance.choice(texts)
        if text.startswith(("raise", "return", "break", "continue")):
            self.line(depth, "if pick():")
            depth += 1
        self.line(depth, text)

    def compound(self, depth: int, in_loop: bool, in_group: bool) -> None:
        """Write a statement that contains others."""
        kinds: list[Callable[[int, bool, bool], None]] = [
            self.with_,
            self.with_,
            self.try_,
            self.group,
            self.for_,
            self.while_,
            self.endless,
            self.match,
        ]
        self.chance.choice(kinds)(depth, in_loop, in_group)

    def kind(self) -> str:
        """Return the prefix of a statement that may be asynchronous."""
        return "async " if self.is_async and self.chance.random() < 0.4 else ""

    def with_(self, depth: int, in_loop: bool, in_group: bool) -> None:
        """Write a `with` of one to three items."""
        kind = self.kind()
        manager = "Waiting()" if kind else "Section()"
        names = self.chance.sample([" as one", " as two", ""], self.chance.randint(1, 3))
        self.line(depth, f"{kind}with {', '.join(manager + name for name in names)}:")
        self.block(depth + 1, in_loop=in_loop, in_group=in_group)

    def try_(self, depth: int, in_loop: bool, in_group: bool) -> None:
        """Write a `try` with handlers, `else` and `finally`."""
        has_handlers = self.chance.random() < 0.7
        clauses = self.chance.choice(
            (["except Fault:"], ["except KeyError:", "except Fault as error:"], ["except BaseException:"])
        )
        headers = ["try:", *(clauses * has_handlers), *(["else:"] * (has_handlers and self.chance.random() < 0.3))]
        headers += ["finally:"] * (not has_handlers or self.chance.random() < 0.4)
        for header in headers:
            self.line(depth, header)
            self.block(depth + 1, in_loop=in_loop, in_group=in_group)

    def group(self, depth: int, in_loop: bool, in_group: bool) -> None:
        """Write a `try` that handles groups of exceptions."""
        self.line(depth, "try:")
        self.block(depth + 1, in_loop=in_loop, in_group=in_group)
        self.line(depth, "except* Fault:")
        self.block(depth + 1, in_loop=False, in_group=True)

    def else_(self, depth: int, in_loop: bool, in_group: bool) -> None:
        """Write the `else` of a loop, perhaps."""
        if self.chance.random() < 0.3:
            self.line(depth, "else:")
            self.block(depth + 1, in_loop=in_loop, in_group=in_group)

    def for_(self, depth: int, in_loop: bool, in_group: bool) -> None:
        """Write a `for`."""
        kind = self.kind()
        self.line(depth, f"{kind}for each in {'ticks' if kind else 'some'}():")
        self.block(depth + 1, in_loop=True, in_group=in_group)
        self.else_(depth, in_loop, in_group)

    def while_(self, depth: int, in_loop: bool, in_group: bool) -> None:
        """Write a `while` with a condition."""
        self.line(depth, self.chance.choice(("while pick():", "while pick() and pick():", "while not stop():")))
        self.block(depth + 1, in_loop=True, in_group=in_group)
        self.else_(depth, in_loop, in_group)

    def endless(self, depth: int, in_loop: bool, in_group: bool) -> None:
        """Write a `while` that only a `break` or an exception ends."""
        self.line(depth, "while True:")
        self.line(depth + 1, "if stop(): break")
        self.block(depth + 1, in_loop=True, in_group=in_group)

    def match(self, depth: int, in_loop: bool, in_group: bool) -> None:
        """Write a `match`."""
        self.line(depth, "match work(3):")
        for case in ("case [first, *rest] if pick():", "case 3:", "case _:"):
            self.line(depth + 1, case)
            self.block(depth + 2, in_loop=in_loop, in_group=in_group)


def write(chance: random.Random) -> str:
    """Write the source of a function, coroutine, generator or asynchronous generator."""
    return Writer(chance, is_async=chance.random() < 0.5, is_generator=chance.random() < 0.4).write()


def compiled(source: str) -> types.FunctionType:
    """Compile a function that `write` wrote."""
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        # Python 3.14 warns of what leaves a `finally`.
        warnings.simplefilter("ignore")
        exec(compile(source, "<generated>", "exec"), names)
    function = names["generated"]
    assert isinstance(function, types.FunctionType)
    return function


class Run:
    """One run of a generated function: a random number decides wherever the code has a choice.

    Attributes:
        sections: How many synchronous context managers are entered.
    """

    def __init__(self, seed: int) -> None:
        self.sections = 0
        self._chance = random.Random(seed)
        self._left = 40

    def run(self, function: types.FunctionType) -> None:
        """Run the function to its end. What it raises is of no interest."""
        function.__globals__.update(self._names())
        hook = sys.unraisablehook
        # Some ignore GeneratorExit.
        sys.unraisablehook = lambda _: None
        try:
            self._drive(function())
        except (Fault, ExceptionGroup, RuntimeError, GeneratorExit):
            pass
        finally:
            sys.unraisablehook = hook

    def _pick(self) -> bool:
        self._left -= 1
        return self._left > 0 and self._chance.random() < 0.5

    def _fail(self) -> None:
        if self._chance.random() < 0.25:
            raise Fault

    def _names(self) -> dict[str, object]:
        run = self

        class Section:
            def __enter__(self) -> None:
                run.sections += 1
                if run._chance.random() < 0.1:
                    run.sections -= 1
                    raise Fault

            def __exit__(self, *_: object) -> bool:
                run.sections -= 1
                return run._chance.random() < 0.3

        class Waiting:
            async def __aenter__(self) -> None:
                await point()

            async def __aexit__(self, *_: object) -> bool:
                await point()
                return run._chance.random() < 0.3

        @types.coroutine
        def point() -> Generator[int, None, None]:
            yield 1

        async def ticks() -> Any:
            for each in range(2):
                await point()
                yield each

        return {
            "Fault": Fault,
            "Section": Section,
            "Waiting": Waiting,
            "point": point,
            "ticks": ticks,
            "pick": self._pick,
            "stop": lambda: not self._pick(),
            "fail": self._fail,
            "some": lambda: [1, 2][: self._chance.randint(0, 2)],
            "work": lambda value: value,
        }

    def _drive(self, made: object) -> None:
        if isinstance(made, types.AsyncGeneratorType):
            made = self._consume(made)
        if not isinstance(made, types.GeneratorType | types.CoroutineType):
            return
        with suppress(StopIteration):
            made.send(None)
            for _ in range(200):
                if self._chance.random() < 0.15:
                    made.throw(Fault())
                else:
                    made.send(None)
        made.close()

    async def _consume(self, generator: types.AsyncGeneratorType[Any, Any]) -> None:
        with suppress(StopAsyncIteration):
            await generator.asend(None)
            while True:
                if self._chance.random() < 0.15:
                    await generator.athrow(Fault())
                else:
                    await generator.asend(None)


def code_objects(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a code object and those nested in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from code_objects(constant)
