"""The functions of the core: clocks, the watchdog's switch, the collector's callback, native costs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from typing import Any

import pytest

from asyncio_pulse import _core as core
from asyncio_pulse.runtime.task_class import task_type
from tests.support.driving import Driven, configure, pause


def clock_info_with(preference: str | None) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name != "ASYNCIO_PULSE_CLOCK"}
    if preference is not None:
        environment["ASYNCIO_PULSE_CLOCK"] = preference
    program = "import asyncio_pulse._core as core; print(core.clock_info())"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout)


def test_the_clock_says_what_it_is_and_why() -> None:
    info = clock_info_with(None)
    assert info["frequency_hz"] >= 1_000_000
    assert info["reason"]
    assert info["uses_tsc"] == (info["name"] == "tsc")
    if info["uses_tsc"]:
        assert info["reason"] == "invariant time stamp counter"


def test_the_processor_s_counter_can_be_refused() -> None:
    info = clock_info_with("monotonic")
    assert not info["uses_tsc"]
    assert info["name"] != "tsc"
    if clock_info_with(None)["uses_tsc"]:
        assert info == {
            "name": "CLOCK_MONOTONIC",
            "reason": "ASYNCIO_PULSE_CLOCK=monotonic",
            "frequency_hz": 1_000_000_000,
            "uses_tsc": False,
        }


@pytest.mark.parametrize("what", ["clock", "cpu_clock", "counter", "histogram", "budget", "priority"])
def test_a_native_cost_is_a_time(what: str) -> None:
    assert 0 < core.measure_native(what, 1000) < 1e9


def test_reading_the_cpu_clock_is_dearer_than_a_counter() -> None:
    assert core.measure_native("cpu_clock", 2000) > core.measure_native("counter", 2000)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: core.measure_native("tea", 1), ValueError, "no native operation 'tea', or no rounds"),
        (lambda: core.measure_native("clock", 0), ValueError, "no native operation 'clock', or no rounds"),
        (lambda: core.measure_native("clock", "9"), TypeError, "int"),
        (lambda: core.set_wrappers([]), TypeError, r"wrappers must be a dict of names, got \[\]"),
        (lambda: core.set_task_type(5), TypeError, "the task type must be callable, got 5"),
        (lambda: core.start_watchdog(0), ValueError, "the interval must be 1 to 60000000 microseconds, got 0"),
        (lambda: core.start_watchdog(60_000_001), ValueError, "got 60000001"),
        (lambda: core.start_watchdog(-1), OverflowError, "negative"),
        (lambda: core.start_watchdog("soon"), TypeError, "int"),
        (core.gc_callback, TypeError, "gc_callback takes a phase and its information"),
        (lambda: core.gc_callback(1, {}), TypeError, "gc_callback takes a phase and its information"),
    ],
    ids=lambda value: "" if callable(value) else str(value),
)
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_watchdog_may_be_started_and_stopped_any_number_of_times() -> None:
    for _ in range(3):
        core.start_watchdog(50_000)
        core.start_watchdog(50_000)
        core.stop_watchdog()
        core.stop_watchdog()


def test_outside_a_poll_a_collection_is_nobody_s() -> None:
    core.gc_callback("start", {})
    core.gc_callback("stop", {})


def test_an_end_of_a_collection_without_a_beginning_is_no_time() -> None:
    async def end_only() -> None:
        core.gc_callback("stop", {})
        await pause()

    governor = core.Governor(0)
    configure(governor, budget_us=0)
    driven = Driven(governor, end_only())
    driven.poll()
    assert governor.counters()["gc_time_ns"] == 0
    driven.governed.close()


def test_the_task_type_is_what_factories_make() -> None:
    made = []

    def make(coro: Any, **keywords: Any) -> Any:
        made.append(keywords)
        return coro

    core.set_task_type(make)
    try:
        governed = core.Governor(0).task_factory(None)("loop", pause_once(), name="x", context=None)
        plain = core.Governor(0).task_factory(None)("loop", pause_once())
    finally:
        core.set_task_type(task_type())
    assert made == [{"loop": "loop", "name": "x", "context": None}, {"loop": "loop"}]
    governed.close()
    plain.close()


async def pause_once() -> None:
    await pause()


@pytest.mark.parametrize("traceback", [None, [], ["no frame"], [lambda: None]])
def test_a_task_of_a_strange_type_is_left_as_it_is(traceback: Any) -> None:
    class Strange:
        _source_traceback = traceback

    core.set_task_type(lambda coro, loop: (coro.close(), Strange())[1])
    try:
        task = core.Governor(0).task_factory(None)("loop", pause_once())
    finally:
        core.set_task_type(task_type())
    assert task._source_traceback is traceback
