"""Whatever is handed to a governed loop as a coroutine is taken, or refused, as on a plain loop."""

from __future__ import annotations

import asyncio
import collections.abc
import sys
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse.lowlevel import GovernedCoroutine
from tests.support.comparison import compare, ending, observe, suspend
from tests.support.loops import LoopFactory


async def function() -> None:
    """Be a function, not called."""


def plain_generator() -> Generator[None, None, str]:
    yield
    return "generated"


@types.coroutine
def generator_based() -> Any:
    yield
    return (yield from asyncio.sleep(0, "old style").__await__())


class Complete(Coroutine[Any, Any, object]):
    """A coroutine written as a class."""

    def __init__(self, steps: int = 2, error: BaseException | None = None) -> None:
        self.steps = steps
        self.error = error
        self.log: list[str] = []

    def __await__(self) -> Generator[Any, Any, object]:
        while True:
            try:
                yield self.send(None)
            except StopIteration as stop:
                return stop.value

    def send(self, value: object) -> Any:
        self.log.append(f"send {value}")
        self.steps -= 1
        if self.steps < 0:
            raise self.error or StopIteration((1, 2))
        return None

    def throw(self, typ: Any, val: Any = None, tb: Any = None) -> Any:
        self.log.append(f"throw {typ!r}")
        raise typ if val is None else val

    def close(self) -> None:
        self.log.append("close")


class Minimal:
    """What Cython makes: send, throw and close, registered as a coroutine, and no names."""

    def __init__(self) -> None:
        self.steps = 2

    def send(self, value: object) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise StopIteration("minimal")

    def throw(self, *error: Any) -> Any:
        raise error[0]

    def close(self) -> None:
        pass

    def __await__(self) -> Any:
        return self

    __iter__ = __await__

    def __next__(self) -> None:
        self.send(None)


collections.abc.Coroutine.register(Minimal)


class Named(Minimal):
    """The same with the attributes that Cython gives."""

    __name__ = "named"
    __qualname__ = "Cython.named"
    cr_frame = None
    cr_await = None
    cr_running = False
    cr_code = function.__code__


NO_COROUTINES: dict[str, Callable[[], object]] = {
    "int": lambda: 42,
    "None": lambda: None,
    "str": lambda: "text",
    "function": lambda: function,
    "class": lambda: Complete,
    "future": lambda: asyncio.get_running_loop().create_future(),
    "awaitable": lambda: types.SimpleNamespace(__await__=plain_generator),
}
if sys.version_info >= (3, 12):
    # Before, asyncio took any generator for a coroutine.
    NO_COROUTINES |= {"generator": plain_generator, "generator based": generator_based}


def last_line(error: object) -> str:
    return str(error).splitlines()[-1]


@pytest.mark.parametrize("make", NO_COROUTINES.values(), ids=NO_COROUTINES)
def test_what_is_no_coroutine_is_refused(loop_factory: LoopFactory, make: Callable[[], object]) -> None:
    async def create() -> object:
        return await asyncio.create_task(make())  # type: ignore[arg-type]

    async def scenario() -> object:
        # Above the last line stands where asyncio's own function calls the factory.
        return last_line(await ending(create()))

    compare(loop_factory, scenario)


def test_a_factory_that_is_called_by_hand_refuses_what_is_no_coroutine(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[str]:
        loop = asyncio.get_running_loop()
        factory = loop.get_task_factory() or (lambda loop, coro: asyncio.Task(coro, loop=loop))
        errors = []
        for wrong in (42, function):
            with pytest.raises(TypeError) as refused:
                factory(loop, wrong)  # type: ignore[arg-type]
            errors.append(str(refused.value))
        return errors

    assert compare(loop_factory, scenario).outcome == [
        "a coroutine was expected, got 42",
        f"a coroutine was expected, got {function!r}".replace(hex(id(function)), "0x"),
    ]


@pytest.mark.parametrize("make", NO_COROUTINES.values(), ids=NO_COROUTINES)
def test_spawn_refuses_in_the_words_of_asyncio(loop_factory: LoopFactory, make: Callable[[], object]) -> None:
    async def scenario() -> list[str]:
        errors = []
        wrong: Any = make()
        for create in (asyncio.create_task, pulse.spawn):
            with pytest.raises(TypeError) as refused:
                create(wrong)
            errors.append(str(refused.value))
        return errors

    outcome = observe(loop_factory, scenario, way="governed").outcome
    assert isinstance(outcome, list)
    assert outcome[0] == outcome[1]
    assert outcome[0].startswith("a coroutine was expected, got ")


@pytest.mark.parametrize("make", [Complete, Minimal, Named, generator_based, plain_generator])
def test_coroutines_of_other_makes_run(loop_factory: LoopFactory, make: Callable[[], Any]) -> None:
    if make in (generator_based, plain_generator) and sys.version_info >= (3, 12):
        pytest.skip("asyncio refuses generators as tasks since Python 3.12")

    async def scenario() -> list[object]:
        task = asyncio.create_task(make(), name="made")
        before = repr(task)
        await suspend()
        # One that is parked says what it waits for, as any task does.
        during = repr(task).partition(" wait_for=")[0].rstrip(">")
        return [await task, repr(task), before, during]

    compare(loop_factory, scenario)


def test_a_class_sees_every_call(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        finished, thrown, failing = Complete(), Complete(steps=99), Complete(error=ValueError("inside"))
        dropped = Complete(steps=99)
        tasks = [asyncio.create_task(coro, name=type(coro).__name__) for coro in (finished, thrown, failing)]
        await suspend()
        tasks[1].cancel("enough")
        endings = [await ending(task) for task in tasks]
        driven: Any = asyncio.create_task(dropped).get_coro()
        await suspend()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await suspend()
        driven.close()
        return [*endings, finished.log, thrown.log, failing.log, dropped.log]

    outcome = compare(loop_factory, scenario).outcome
    assert isinstance(outcome, list)
    assert outcome[0] == (1, 2)
    assert outcome[-1][-1] == "close"


def test_they_are_awaited_inside_a_task(loop_factory: LoopFactory) -> None:
    async def scenario() -> list[object]:
        return [await Complete(), await Minimal(), await Named(), await generator_based()]

    assert compare(loop_factory, scenario).outcome == [(1, 2), "minimal", "minimal", "old style"]


def test_an_asynchronous_generators_step_as_a_task(loop_factory: LoopFactory) -> None:
    async def numbers() -> Any:
        yield 1
        await asyncio.sleep(0)
        yield 2

    async def scenario() -> list[object]:
        generator = numbers()
        seen: list[object] = []
        for step in (generator.asend(None), generator.asend(None), generator.aclose()):
            try:
                task = asyncio.create_task(step)
            except TypeError as refused:
                seen.append(str(refused))
                step.close()
            else:
                seen.append(await ending(task))
        await generator.aclose()
        return seen

    compare(loop_factory, scenario)


async def steps_and_returns(value: object, log: list[str]) -> object:
    try:
        await suspend("first")
        await suspend("second")
    except ValueError as error:
        log.append(repr(error))
        await suspend("caught")
    except GeneratorExit:
        log.append("closed")
        raise
    return value


def drive_by_hand(coro: Any, log: list[str]) -> list[object]:
    """Do to a coroutine what a scheduler does that is not asyncio."""
    seen: list[object] = []
    for act in (
        lambda: coro.send("too early"),
        lambda: coro.send(None),
        lambda: coro.throw(ValueError("thrown")),
        lambda: coro.send(None),
        lambda: coro.send(None),
        lambda: coro.throw(KeyError("too late")),
        coro.close,
    ):
        try:
            seen.append(act())
        except StopIteration as stop:
            seen.append(("stopped", repr(stop.value), repr(stop.args)))
        except BaseException as error:
            seen.append(repr(error))
    return [*seen, *log]


@pytest.mark.parametrize("value", [None, 1, (1, 2), (), StopIteration(3), ValueError("a value"), ValueError], ids=repr)
def test_driven_by_hand(value: object) -> None:
    plain_log: list[str] = []
    governed_log: list[str] = []
    plain = drive_by_hand(steps_and_returns(value, plain_log), plain_log)
    governed = drive_by_hand(GovernedCoroutine(steps_and_returns(value, governed_log)), governed_log)
    assert governed == plain
    assert ("stopped", repr(value), repr((value,) if value is not None else ())) in plain


def test_closed_by_hand() -> None:
    for suspended in (False, True):
        logs: list[list[str]] = [[], []]
        for log, wrap in zip(logs, (lambda coro: coro, GovernedCoroutine), strict=True):
            coro = wrap(steps_and_returns(None, log))
            if suspended:
                coro.send(None)
            coro.close()
            coro.close()
            with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
                coro.send(None)
        assert logs[0] == logs[1] == (["closed"] if suspended else [])
