"""Runs one scenario plain, governed and with every task parked, and compares everything that can be observed."""

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
from typing import Any, Literal

import pytest

import asyncio_pulse as pulse
from tests.support.loops import Loop, LoopFactory
from tests.support.offenders import offend, parking_config

Scenario = Callable[[], Coroutine[Any, Any, object]]
Preparation = Callable[[Loop], object]
Way = Literal["plain", "governed", "parked"]

ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+|(?<=\bid=)\d+|(?<=cancel scope )[0-9a-f]+")
DURATION = re.compile(r"\b\d+\.\d+ seconds|(?<=when=)\d+\.\d+")
# Cython knows the source of a frame only from its second error on; and its line tells how many arguments a callback has.
CYTHON_SOURCE = re.compile(r'(File "[^"]*\.pyx", )line \d+(.*\n)(?:(?![ |]*File )[ |]*    .*\n)*')
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
        text = CYTHON_SOURCE.sub(r"\1line N\2", DURATION.sub("N", ADDRESS.sub("0x", value)))
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
    try:
        yield
        gc.collect()
    finally:
        gc.enable()


def _end_of(step: Callable[[], object]) -> object:
    try:
        return step()
    except BaseException as error:
        return tell(error)


def _run_to_the_end(
    make_loop: LoopFactory, scenario: Scenario, way: Way, debug: bool | None, prepare: Preparation
) -> tuple[object, object, pulse.TierManager | None]:
    runner = asyncio.Runner(loop_factory=make_loop, debug=debug)
    loop, manager, context = runner.get_loop(), None, None
    # On a busy machine any step may take 100 ms.
    loop.slow_callback_duration = 3600.0
    prepare(loop)
    if way == "governed":
        manager = pulse.install(loop=loop)
    elif way == "parked":
        manager = pulse.install(parking_config(), loop=loop)
        context = loop.run_until_complete(offend())
        # There are scenarios that never suspend.
        loop.run_until_complete(loop.create_task(asyncio.sleep(0), context=context))
    return _end_of(lambda: runner.run(scenario(), context=context)), _end_of(runner.close), manager


def observe(
    make_loop: LoopFactory,
    scenario: Scenario,
    *,
    way: Way,
    debug: bool | None = None,
    prepare: Preparation = lambda loop: None,
) -> Observation:
    """Run a scenario to its end on a new loop."""
    # What is garbage already must not be collected among what is observed.
    gc.collect()
    with _listening() as complaints, _collecting_only_when_told():
        *ends, manager = _run_to_the_end(make_loop, scenario, way, debug, prepare)
    if manager is not None:
        metrics = manager.get_metrics()
        assert metrics.tasks >= 1, "the scenario was not governed"
        assert metrics.polls >= 1, "the scenario was not measured"
        assert metrics.tasks_alive == 0, "a task that is gone is counted as alive"
        assert metrics.internal_errors == 0
        assert way != "parked" or manager.report().slow_queue.parked >= 1, "nothing was parked"
    seen = (*ends, tuple(complaints))
    return Observation(*_normalise(seen, sorted(_task_numbers(seen))))


def _difference(plain: Observation, other: Observation, way: Way) -> str:
    sides = [pprint.pformat(dataclasses.asdict(side), width=120).splitlines() for side in (plain, other)]
    return "\n".join(difflib.unified_diff(*sides, "plain", way, lineterm=""))


def compare(
    make_loop: LoopFactory,
    scenario: Scenario,
    *,
    debug: bool | None = None,
    prepare: Preparation = lambda loop: None,
    parked: bool = True,
) -> Observation:
    """Assert that no run can be told from a plain one, and return what was observed.

    Args:
        make_loop: Makes a plain loop.
        scenario: What to run.
        debug: Whether asyncio's debug mode is on.
        prepare: Called with the loop first.
        parked: Whether to run it parked too: not if what it shows depends on how many turns a task waits.
    """
    ways: tuple[Way, ...] = ("plain", "governed", "parked") if parked else ("plain", "governed")
    # From one line, because it is on every stack.
    plain, *others = (observe(make_loop, scenario, way=way, debug=debug, prepare=prepare) for way in ways)
    for way, other in zip(ways[1:], others, strict=True):
        if other != plain:
            pytest.fail(f"{way} and plain differ:\n" + _difference(plain, other, way), pytrace=False)
    return plain


@types.coroutine
def suspend(value: object = None) -> Any:
    """Suspend the task with a bare yield, or hand a value to it."""
    return (yield value)
