"""However a coroutine ends, its governed task ends as a plain one: value, error, cancellation, traceback."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.comparison import compare, ending, suspend, tell
from tests.support.loops import LoopFactory


class Unusual(BaseException):
    """An exception that is no Exception."""


class FalsyError(Exception):
    """An exception that is false."""

    def __bool__(self) -> bool:
        return False


def chained() -> BaseException:
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise LookupError("second") from error
    except LookupError:
        try:
            raise OSError("third")
        except OSError as error:
            return error


ERRORS: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("as told", 42),
    "chained": chained,
    "falsy": FalsyError,
    "ExceptionGroup": lambda: ExceptionGroup("many", [ValueError(1), ExceptionGroup("inner", [KeyError(2)])]),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("worse", [KeyboardInterrupt(), ValueError(1)]),
    "StopIteration": lambda: StopIteration(42),
    "StopAsyncIteration": lambda: StopAsyncIteration(42),
    "GeneratorExit": lambda: GeneratorExit("left"),
    "CancelledError": lambda: asyncio.CancelledError("by itself"),
    "TimeoutError": lambda: TimeoutError("late"),
    "KeyboardInterrupt": lambda: KeyboardInterrupt("stop"),
    "SystemExit": lambda: SystemExit(3),
    "custom BaseException": lambda: Unusual("rare"),
}
VALUES: dict[str, Callable[[], object]] = {
    "None": lambda: None,
    "tuple": lambda: (1, 2),
    "empty tuple": lambda: (),
    "StopIteration": lambda: StopIteration(3),
    "ValueError": lambda: ValueError("a value"),
    "a type of error": lambda: ValueError,
    "nested tuple": lambda: ((ValueError, "text", None),),
}

each_error = pytest.mark.parametrize("make_error", ERRORS.values(), ids=ERRORS)
each_value = pytest.mark.parametrize("make_value", VALUES.values(), ids=VALUES)
before_or_after_a_suspension = pytest.mark.parametrize("steps", [0, 2], ids=["at once", "later"])


@each_error
@before_or_after_a_suspension
def test_the_main_task_raises(loop_factory: LoopFactory, make_error: Callable[[], BaseException], steps: int) -> None:
    async def deeper() -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        raise make_error()

    async def scenario() -> None:
        await deeper()

    outcome = compare(loop_factory, scenario).outcome
    assert "in deeper" in str(outcome)


def ends_the_loop(error: BaseException) -> bool:
    """Whether it goes through the loop, where uvloop adds the frames of whichever callback comes next."""
    return isinstance(error, KeyboardInterrupt | SystemExit)


@each_error
@before_or_after_a_suspension
def test_a_child_raises(loop_factory: LoopFactory, make_error: Callable[[], BaseException], steps: int) -> None:
    async def child() -> None:
        try:
            for _ in range(steps):
                await asyncio.sleep(0)
            raise make_error()
        finally:
            await asyncio.sleep(0)

    async def scenario() -> list[object]:
        task = asyncio.create_task(child(), name="child")
        return [await ending(task), await ending(task), repr(task)]

    compare(loop_factory, scenario, parked=not ends_the_loop(make_error()))


@each_error
def test_what_is_raised_inside_is_caught_inside(
    loop_factory: LoopFactory, make_error: Callable[[], BaseException]
) -> None:
    async def raises() -> None:
        await suspend()
        raise make_error()

    async def scenario() -> object:
        return await ending(raises())

    compare(loop_factory, scenario)


@each_error
def test_an_error_is_thrown_in_by_a_future(loop_factory: LoopFactory, make_error: Callable[[], BaseException]) -> None:
    async def waits(future: asyncio.Future[None]) -> None:
        try:
            await future
        except Exception as error:
            raise RuntimeError("while waiting") from error

    async def scenario() -> list[object]:
        future = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(waits(future), name="waits")
        await asyncio.sleep(0)
        error = make_error()
        try:
            future.set_exception(error)
        except TypeError as refused:
            future.set_result(None)
            return [tell(refused), await ending(task)]
        return [await ending(task), tell(error), repr(task)]

    compare(loop_factory, scenario, parked=not ends_the_loop(make_error()))


@each_value
@before_or_after_a_suspension
def test_values(loop_factory: LoopFactory, make_value: Callable[[], object], steps: int) -> None:
    async def child() -> object:
        for _ in range(steps):
            await asyncio.sleep(0)
        return make_value()

    async def scenario() -> list[object]:
        task = asyncio.create_task(child(), name="child")
        return [repr(await task), repr(task.result()), repr(task), repr(await child())]

    compare(loop_factory, scenario)


def test_the_very_object_comes_back(loop_factory: LoopFactory) -> None:
    async def child(result: object) -> object:
        await suspend()
        if isinstance(result, BaseException):
            raise result
        return result

    async def scenario() -> list[bool]:
        value, error = object(), ValueError("the very one")
        good, bad = asyncio.create_task(child(value)), asyncio.create_task(child(error))
        await asyncio.wait([good, bad])
        return [good.result() is value, bad.exception() is error]

    assert compare(loop_factory, scenario).outcome == [True, True]


@pytest.mark.parametrize("value", [42, "text", (), suspend], ids=["int", "str", "tuple", "function"])
def test_a_task_yields_what_it_must_not(loop_factory: LoopFactory, value: object) -> None:
    async def wrong() -> None:
        await suspend(value)

    async def scenario() -> object:
        return await ending(asyncio.create_task(wrong(), name="wrong"))

    assert "Task got bad yield" in str(compare(loop_factory, scenario).outcome)


def test_a_task_waits_for_itself(loop_factory: LoopFactory) -> None:
    async def child() -> None:
        await asyncio.current_task()  # type: ignore[misc]

    async def scenario() -> object:
        return await ending(asyncio.create_task(child(), name="selfish"))

    assert "Task cannot await on itself" in str(compare(loop_factory, scenario).outcome)


def test_a_future_of_another_loop_is_refused(loop_factory: LoopFactory) -> None:
    async def stray(future: asyncio.Future[None]) -> None:
        await future

    async def scenario() -> object:
        other = asyncio.new_event_loop()
        future = other.create_future()
        try:
            return await ending(asyncio.create_task(stray(future), name="stray"))
        finally:
            future.cancel()
            other.close()

    assert "attached to a different loop" in str(compare(loop_factory, scenario).outcome)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Have Ctrl-C arrive even where the tests run in the background, which ignores it."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("wait", ["sleep", "bare yield"])
def test_ctrl_c(loop_factory: LoopFactory, wait: str) -> None:
    async def victim() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            while True:
                await (asyncio.sleep(0) if wait == "sleep" else suspend())
        finally:
            await asyncio.sleep(0)

    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(victim())

    assert "KeyboardInterrupt" in str(compare(loop_factory, scenario).outcome)


def test_tasks_left_behind_are_cancelled_at_the_end(loop_factory: LoopFactory) -> None:
    runs: list[list[str]] = []
    kept: list[asyncio.Task[Any]] = []

    async def stays(log: list[str]) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError as error:
            log.append(tell(error))
            raise

    async def fails_on_cancel() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise ValueError("not now")

    async def scenario() -> None:
        runs.append([])
        kept.extend([asyncio.create_task(stays(runs[-1])), asyncio.create_task(fails_on_cancel(), name="fails")])
        await asyncio.sleep(0)

    observation = compare(loop_factory, scenario)
    kept.clear()
    gc.collect()
    assert "CancelledError" in runs[0][0]
    assert runs[0] == runs[1]
    assert "ValueError: not now" in str(observation.complaints)


def test_errors_that_nobody_retrieved(loop_factory: LoopFactory) -> None:
    async def fail() -> None:
        raise ValueError("nobody asked")

    async def scenario() -> None:
        asyncio.create_task(fail(), name="forgotten")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert "Task exception was never retrieved" in str(compare(loop_factory, scenario).complaints)


def test_a_done_callback_sees_how_it_ended(loop_factory: LoopFactory) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("seen")

    async def scenario() -> list[str]:
        seen: list[str] = []
        task = asyncio.create_task(fail(), name="called back")
        task.add_done_callback(lambda done: seen.append(repr(done) + tell(done.exception())))  # type: ignore[arg-type]
        await asyncio.wait([task])
        await asyncio.sleep(0)
        return seen

    compare(loop_factory, scenario)


def test_the_context_of_an_error_raised_beside_a_handled_one(loop_factory: LoopFactory) -> None:
    async def child() -> None:
        try:
            raise KeyError("handled")
        except KeyError:
            await asyncio.sleep(0)
            raise

    async def scenario() -> list[object]:
        try:
            raise OSError("being handled while the task is awaited")
        except OSError:
            return [await ending(asyncio.create_task(child(), name="child")), await ending(child())]

    compare(loop_factory, scenario)
