"""Facts about this installation and machine: what asyncio-pulse can and cannot do here, and why."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import signal
import sys
import sysconfig
import time
from collections.abc import Iterator

from asyncio_pulse import _core
from asyncio_pulse.doctor.tiers import Ability, Fact, configuration_facts, tier_abilities
from asyncio_pulse.errors import ConfigError
from asyncio_pulse.runtime.preemption import refusals
from asyncio_pulse.runtime.settings import ConfigSource, trace_config

__all__ = ["Facts", "collect_facts"]

LIBRARIES = ("uvloop", "rich")
MEASURED_READINGS = 2000  # under a millisecond
LATER_FEATURES = ("isolation in confined processes",)


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """The content of `asyncio-pulse doctor`."""

    facts: tuple[Fact, ...]
    abilities: tuple[Ability, ...]
    later_features: tuple[str, ...] = LATER_FEATURES


def collect_facts(source: ConfigSource) -> Facts:
    """Collect facts about this process's interpreter, core, clocks, platform and libraries, and about the configuration.

    Args:
        source: The configuration of a program that is run here. If it is faulty, the fault is among the facts.
    """
    facts = (*_core_facts(), *_clock_facts(), *_interpreter_facts(), *_platform_facts(), *_library_facts())
    try:
        traced = trace_config(source)
    except ConfigError as error:
        return Facts(facts, (*_abilities(), Ability("the configuration", False, " ".join(str(error).split()))))
    return Facts((*configuration_facts(traced), *facts), (*_abilities(), *tier_abilities(traced.config)))


def _core_facts() -> Iterator[Fact]:
    yield Fact("core", "version", importlib.metadata.version("asyncio-pulse"))
    yield Fact("core", "extension", str(_core.__file__))


def _clock_facts() -> Iterator[Fact]:
    clock = _core.clock_info()
    frequency = f"{clock['frequency_hz'] / 1e6:,.0f} MHz"
    reading_ns = _core.measure_native("clock", MEASURED_READINGS)
    yield Fact("clocks", "of polls", f"{clock['name']}, {frequency}, {reading_ns:.0f} ns a reading")
    yield Fact("clocks", "chosen because", clock["reason"])
    cpu_clock = time.get_clock_info("thread_time")
    reading_ns = _core.measure_native("cpu_clock", MEASURED_READINGS)
    yield Fact("clocks", "of CPU time", f"{cpu_clock.implementation}, {reading_ns:.0f} ns a reading")


def _interpreter_facts() -> Iterator[Fact]:
    yield Fact("interpreter", "version", f"{platform.python_implementation()} {platform.python_version()}")
    yield Fact("interpreter", "executable", sys.executable or "unknown")
    yield Fact("interpreter", "free-threaded", "yes" if _is_free_threaded() else "no")
    yield Fact("interpreter", "JIT compiler", _jit_state())


def _is_free_threaded() -> bool:
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def _jit_state() -> str:
    jit = getattr(sys, "_jit", None)  # Python 3.14
    if jit is not None:
        if not jit.is_available():
            return "not built in"
        return "enabled" if jit.is_enabled() else "built in, not enabled"
    built_in = "--enable-experimental-jit" in str(sysconfig.get_config_var("CONFIG_ARGS"))
    return "built in" if built_in else "not built in"


def _platform_facts() -> Iterator[Fact]:
    yield Fact("platform", "system", platform.platform())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Fact("platform", "processors", f"{usable} usable of {os.cpu_count()}")


def _library_facts() -> Iterator[Fact]:
    for name in LIBRARIES:
        yield Fact("libraries", name, _library_version(name) or "not installed")


def _library_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _abilities() -> Iterator[Ability]:
    yield Ability("govern asyncio's loops", True, "")
    uvloop = _library_version("uvloop")
    advice = "Windows has no uvloop" if sys.platform == "win32" else "pip install 'asyncio-pulse[uvloop]'"
    yield Ability("govern uvloop's loops", uvloop is not None, "" if uvloop else advice)
    rich = _library_version("rich")
    yield Ability("colour in the terminal", rich is not None, "" if rich else "pip install 'asyncio-pulse[rich]'")
    has_clock = _core.clock_info()["uses_tsc"]
    yield Ability("the fastest clock", has_clock, "" if has_clock else _core.clock_info()["reason"])
    reasons = refusals()
    yield Ability("suspend tasks in their Python code", not reasons, "; ".join(reasons))
    has_signal = hasattr(signal, "SIGUSR2")
    yield Ability("report on SIGUSR2", has_signal, "" if has_signal else "this platform has no such signal")
