"""Runs one scenario on a plain and on a governed loop, and compares everything that can be observed."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import difflib
import gc
import logging
import pprint
import re
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import pytest

import asyncio_pulse as pulse

Loop = asyncio.AbstractEventLoop
LoopFactory = Callable[[], Loop]
Scenario = Callable[[], Coroutine[Any, Any, object]]
Preparation = Callable[[Loop], object]

ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+|(?<=\bid=)\d+|(?<=cancel scope )[0-9a-f]+")
DURATION = re.compile(r"\b\d+\.\d+ seconds|(?<=when=)\d+\.\d+")
# Cython knows the source of a frame only from its second error on.
CYTHON_SOURCE = re.compile(r'(File "[^"]*\.pyx", .*\n)(?:(?![ |]*File )[ |]*    .*\n)*')
TASK_NUMBER = re.compile(r"\bTask-(\d+)")


@dataclasses.dataclass(frozen=True)
class Observation:
    """What a scenario returned and what closing the loop did, or their tracebacks, and all complaints meanwhile."""

    outcome: object
    closing: object
    complaints: tuple[str, ...]


def tell(error: BaseException) -> str:
    """Give the whole traceback of an error, with its causes, contexts and groups."""
    return "".join(traceback.format_exception(error))


async def ending(awaitable: Any) -> object:
    """Await, and give the result or what `tell` says of the error."""
    try:
        return await awaitable
    except BaseException as error:
        return tell(error)


def _task_numbers(value: Any) -> set[int]:
    if isinstance(value, str):
        return {int(number) for number in TASK_NUMBER.findall(value)}
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set):
        return set().union(*map(_task_numbers, value))
    return set()


def _normalise(value: Any, task_numbers: Sequence[int]) -> Any:
    """Take out what differs between any two runs: addresses, times, and the numbers of tasks but for their order.

    A factory is not told the name of a task by Python before 3.13.3, nor by uvloop, so a named task uses up a number.
    """
    if isinstance(value, str):
        text = CYTHON_SOURCE.sub(r"\1", DURATION.sub("N", ADDRESS.sub("0x", value)))
        return TASK_NUMBER.sub(lambda match: f"Task+{task_numbers.index(int(match[1]))}", text)
    if isinstance(value, list | tuple | set):
        return type(value)(_normalise(item, task_numbers) for item in value)
    if isinstance(value, dict):
        return {_normalise(key, task_numbers): _normalise(item, task_numbers) for key, item in value.items()}
    return value


class _Recorder(logging.Handler):
    def __init__(self, complaints: list[str]) -> None:
        super().__init__()
        self.complaints = complaints
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.complaints.append(self.format(record))


@contextlib.contextmanager
def _listening() -> Iterator[list[str]]:
    """Hear what asyncio logs, what is warned of, and what could not be raised, in its order."""
    complaints: list[str] = []

    def unraisable(fault: Any) -> None:
        about = getattr(fault.object, "__qualname__", type(fault.object).__name__)
        complaints.append(f"{fault.err_msg} {about}\n{tell(fault.exc_value)}")

    def warned(message: Warning | str, category: type[Warning], *_place: Any, **_more: Any) -> None:
        complaints.append(f"{category.__name__}: {message}")

    logger, earlier_hook = logging.getLogger("asyncio"), sys.unraisablehook
    recorder, level = _Recorder(complaints), logger.level
    logger.addHandler(recorder)
    logger.setLevel(logging.DEBUG)
    # Others keep the record, with it the error, with it the frames and the loop.
    logger.propagate = False
    sys.unraisablehook = unraisable
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = warned
            yield complaints
    finally:
        sys.unraisablehook = earlier_hook
        logger.propagate = True
        logger.setLevel(level)
        logger.removeHandler(recorder)


@contextlib.contextmanager
def _collecting_only_when_told() -> Iterator[None]:
    """Let what is dropped vanish at once or not at all, so that two runs do not differ by chance."""
    gc.disable()
    # What is garbage already must not be collected among what is observed; nor need it be looked at again.
    gc.freeze()
    try:
        yield
        gc.collect()
    finally:
        gc.unfreeze()
        gc.enable()


def _end_of(step: Callable[[], object]) -> object:
    try:
        return step()
    except BaseException as error:
        return tell(error)


def _run_to_the_end(
    make_loop: LoopFactory, scenario: Scenario, governed: bool, debug: bool | None, prepare: Preparation
) -> tuple[object, object, pulse.TierManager | None]:
    runner = asyncio.Runner(loop_factory=make_loop, debug=debug)
    prepare(runner.get_loop())
    manager = pulse.install(loop=runner.get_loop()) if governed else None
    return _end_of(lambda: runner.run(scenario())), _end_of(runner.close), manager


def observe(
    make_loop: LoopFactory,
    scenario: Scenario,
    *,
    governed: bool,
    debug: bool | None = None,
    prepare: Preparation = lambda loop: None,
) -> Observation:
    """Run a scenario to its end on a new loop."""
    with _listening() as complaints, _collecting_only_when_told():
        *ends, manager = _run_to_the_end(make_loop, scenario, governed, debug, prepare)
    if manager is not None:
        metrics = manager.get_metrics()
        assert metrics.tasks >= 1, "the scenario was not governed"
        assert metrics.polls >= 1, "the scenario was not measured"
        assert metrics.tasks_alive == 0, "a task that is gone is counted as alive"
        assert metrics.internal_errors == 0
    seen = (*ends, tuple(complaints))
    return Observation(*_normalise(seen, sorted(_task_numbers(seen))))


def _difference(plain: Observation, governed: Observation) -> str:
    sides = [pprint.pformat(dataclasses.asdict(side), width=120).splitlines() for side in (plain, governed)]
    return "\n".join(difflib.unified_diff(*sides, "plain", "governed", lineterm=""))


def compare(
    make_loop: LoopFactory,
    scenario: Scenario,
    *,
    debug: bool | None = None,
    prepare: Preparation = lambda loop: None,
) -> Observation:
    """Assert that a governed run cannot be told from a plain one, and return what was observed."""
    # From one line, because it is on every stack.
    plain, governed = (
        observe(make_loop, scenario, governed=governed, debug=debug, prepare=prepare) for governed in (False, True)
    )
    if governed != plain:
        pytest.fail("governed and plain differ:\n" + _difference(plain, governed), pytrace=False)
    return plain


@types.coroutine
def suspend(value: object = None) -> Any:
    """Suspend the task with a bare yield, or hand a value to it."""
    return (yield value)
