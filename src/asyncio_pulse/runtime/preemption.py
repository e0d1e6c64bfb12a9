"""Preemption in this process: whether it is possible, its signal, and the sections that it leaves alone."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from asyncio_pulse import _core
from asyncio_pulse.runtime.afterwards import AFTERWARDS
from asyncio_pulse.runtime.origin import origin_of
from asyncio_pulse.runtime.trial import suspending_works
from asyncio_pulse.runtime.vetted import by_function

__all__ = ["PROTECTED_MODULES", "PURE_MODULES", "no_preempt", "refusals", "start", "stop"]

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("asyncio_pulse.preemption")

PROTECTED_MODULES = frozenset(
    {
        "_frozen_importlib",
        "_frozen_importlib_external",
        "_weakrefset",
        "anyio",
        "asyncio",
        "asyncio_pulse",
        "concurrent",
        "contextlib",
        "greenlet",
        "importlib",
        "linecache",
        "logging",
        "mimetypes",
        "multiprocessing",
        "queue",
        "selectors",
        "signal",
        "socket",
        "ssl",
        "tempfile",
        "threading",
        "uvloop",
        "warnings",
        "weakref",
        "zipimport",
    }
)
"""Top-level packages that are never preempted, whatever opted in, because tasks share their state."""

LIBRARY_PATHS = (
    f"{os.sep}site-packages{os.sep}",
    f"{os.sep}dist-packages{os.sep}",
    os.path.join(os.path.dirname(os.__file__), ""),
)
"""Parts of the paths of installed code. No task is suspended where a library awaits itself or another library."""

PURE_MODULES = frozenset(
    {
        "_collections_abc",
        "_pydatetime",
        "_pydecimal",
        "_strptime",
        "abc",
        "ast",
        "base64",
        "bisect",
        "calendar",
        "collections",
        "colorsys",
        "configparser",
        "copy",
        "csv",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "dis",
        "enum",
        "fnmatch",
        "fractions",
        "functools",
        "graphlib",
        "heapq",
        "hashlib",
        "hmac",
        "html",
        "inspect",
        "ipaddress",
        "json",
        "keyword",
        "numbers",
        "operator",
        "pprint",
        "quopri",
        "random",
        "reprlib",
        "shlex",
        "statistics",
        "string",
        "stringprep",
        "struct",
        "textwrap",
        "timeit",
        "token",
        "tokenize",
        "tomllib",
        "traceback",
        "types",
        "typing",
        "uuid",
        "xml",
    }
)
"""Packages of the standard library that compute and share no state. They are preempted together with code that opted in."""


def refusals() -> tuple[str, ...]:
    """Return the reasons why nothing can be preempted in this process; empty if preemption is possible."""
    reasons = {
        "Windows has no signal that interrupts a thread's Python code": sys.platform == "win32",
        "the JIT compiler is enabled; start Python with PYTHON_JIT=0": _jit_is_enabled(),
        "gevent has patched the standard library, or its hub runs": _gevent_is_active(),
        "eventlet has patched the standard library": _eventlet_is_active(),
        "Python 3.13 and later call no signal handler in a process that a thread has forked": _handlers_are_lost(),
    }
    of_core = _core.preemption_refusal()
    if of_core is None and not suspending_works():
        of_core = "this Python differs from the one that the core was compiled for: a trial suspension failed"
    return tuple(reason for reason, holds in reasons.items() if holds) + ((of_core,) if of_core else ())


def _jit_is_enabled() -> bool:
    jit = getattr(sys, "_jit", None)  # Python 3.14
    return jit is not None and bool(jit.is_enabled())


def _gevent_is_active() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and getattr(monkey, "saved", None):
        return True
    hub = sys.modules.get("gevent._hub_local") or sys.modules.get("gevent.__hub_local")
    return hub is not None and hub.get_hub_if_exists() is not None


def _eventlet_is_active() -> bool:
    patcher = sys.modules.get("eventlet.patcher")
    return patcher is not None and bool(getattr(patcher, "already_patched", None))


def _handlers_are_lost() -> bool:
    # The interpreter goes on to notify the main thread of the parent, which the child does not have.
    is_first_thread = isinstance(threading.main_thread(), threading._MainThread)  # type: ignore[attr-defined]
    return sys.version_info >= (3, 13) and not is_first_thread


class _Signal:
    """The signal that interrupts the main thread. It is taken on first use, and given back."""

    def __init__(self) -> None:
        self.number: int | None = None

    def take(self) -> int | None:
        """Handle a free signal and return its number; None if no signal is free."""
        for number in self._candidates():
            if signal.getsignal(number) in (signal.SIG_DFL, _core.on_preempt_signal) or number == self.number:
                signal.signal(number, _core.on_preempt_signal)
                # System calls of the program that the signal interrupts are restarted.
                signal.siginterrupt(number, False)
                self.number = number
                return number
        return None

    @staticmethod
    def _candidates() -> list[int]:
        # SIGURG is ignored by default, so a late one is harmless, and hardly any program uses it.
        real_time = range(signal.SIGRTMAX - 1, signal.SIGRTMIN, -1) if hasattr(signal, "SIGRTMAX") else ()
        return [signal.SIGURG, *real_time]

    def give_back(self) -> None:
        """Restore the default, unless the program has taken the signal meanwhile."""
        number, self.number = self.number, None
        if number is None or signal.getsignal(number) is not _core.on_preempt_signal:
            return
        # A real-time signal that is still pending would end the process, so it is ignored instead.
        signal.signal(number, signal.SIG_DFL if number == signal.SIGURG else signal.SIG_IGN)


_signal = _Signal()
_said: set[str] = set()


def _say_once(reason: str) -> None:
    if reason not in _said:
        _said.add(reason)
        AFTERWARDS.call(partial(logger.warning, "%s: nothing is preempted: %s", origin_of(), reason))


def start(is_requested: bool) -> None:
    """Start preemption. The core calls this in the loop's thread before the first poll that may be preempted.

    Args:
        is_requested: Whether code or an operator asked for it. Otherwise it is only the default, and nothing is said where
            it is not possible.
    """
    reasons = list(refusals())
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread:
        reasons.append("the loop runs off the main thread, where no signal interrupts Python code")
    number = None if reasons else _signal.take()
    if number is None:
        if not in_main_thread or not is_requested:
            # A loop in the main thread may still want it, and who asks for it has still to be told.
            _core.set_preemption_starter(start)
        if is_requested:
            _say_once("; ".join(reasons) or "every signal that could be used is handled by the program")
        return
    try:
        _core.start_preemption(number, PROTECTED_MODULES, LIBRARY_PATHS, by_function())
    except BaseException:
        _signal.give_back()
        raise


def stop() -> None:
    """Stop preemption, and give the signal back. Suspended tasks continue when their loop runs them."""
    _core.stop_preemption()
    if threading.current_thread() is threading.main_thread():
        _signal.give_back()
    else:
        # Only the main thread may set a handler.
        _core.call_in_main_thread(_give_back_if_stopped)


def _give_back_if_stopped() -> None:
    if not _core.preemption_facts()["active"]:
        _signal.give_back()


def after_fork_in_child() -> None:
    """End preemption in a forked child where it no longer works. Who asks for it there is told."""
    if _handlers_are_lost() and _core.preemption_facts()["active"]:
        stop()
        _core.set_preemption_starter(start)


def at_exit() -> None:
    """Run the clean-up of tasks that are still suspended by preemption, while an interpreter exists to run it."""
    stop()
    _core.unwind_preempted()


class no_preempt:  # noqa: N801 - used as a function: a context manager and a decorator
    """A section in which the running task is suspended only at its own awaits that suspend.

    Use it as a context manager around statements, also across awaits, or as a decorator of a function, plain or `async`,
    but not of a generator. It nests. Outside governed tasks it does nothing. It does not guard other tasks that the section
    starts.

    Examples:
        >>> with no_preempt():
        ...     balance = 1
    """

    __slots__ = ("_entered",)

    def __init__(self) -> None:
        self._entered: list[_core.GovernedCoroutine | None] = []

    def __enter__(self) -> None:
        """Begin the section."""
        self._entered.append(_core.enter_no_preempt())

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the section."""
        _core.leave_no_preempt(self._entered)

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Guard every call of a function.

        Raises:
            TypeError: It is a generator function, whose code runs after the call.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{getattr(function, '__name__', function)}() is a generator, and no_preempt() as a decorator guards only"
                " the call that makes it: write `with no_preempt():` inside it, around the statements between two yields"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def guarded_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                with no_preempt():
                    return await cast(Awaitable[Any], function(*args, **kwargs))

            return cast(Callable[P, T], guarded_async)

        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            with no_preempt():
                return function(*args, **kwargs)

        return guarded
