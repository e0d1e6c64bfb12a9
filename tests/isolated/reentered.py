"""Wherever the core calls Python code, that code does its worst: nothing crashes, every task ends, nothing stays parked.

A signal's handler or a finaliser can come wherever Python code runs, and do what it likes. Here methods of the program's
own loop, future and coroutine, hooks, finalisers and the region finder do it, at a few of their calls each.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import gc
import signal
import sys
import types
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import asyncio_pulse as pulse
from asyncio_pulse import _core
from asyncio_pulse.lowlevel import process_report
from asyncio_pulse.runtime.regions import async_with_bodies

STRIKES = (3, 4, 11)

loop_classes: list[type[asyncio.AbstractEventLoop]] = [asyncio.SelectorEventLoop]
with contextlib.suppress(ImportError):
    import uvloop

    loop_classes.append(uvloop.Loop)


class Danger:
    """Does something at a few calls of one place, never inside itself."""

    def __init__(self, place: str, action: Callable[[], None]) -> None:
        """Nothing has been called yet."""
        self.place, self.action = place, action
        self.calls = 0
        self.strikes = 0
        self.is_striking = False

    def call(self, place: str) -> None:
        """Strike if it is time."""
        if place != self.place or self.is_striking:
            return
        self.calls += 1
        if self.calls in STRIKES or place == "signal":
            self.is_striking = True
            try:
                # An earlier strike may have uninstalled us; and no loop runs where garbage of an earlier one is let go of.
                with contextlib.suppress(pulse.PulseError, RuntimeError):
                    self.action()
                self.strikes += 1
            finally:
                self.is_striking = False


danger = Danger("nowhere", lambda: None)


class Future(asyncio.Future):  # type: ignore[type-arg]
    """Done by Python code."""

    def set_result(self, result: object) -> None:
        """Let others in first."""
        danger.call("set_result")
        super().set_result(result)

    def cancel(self, msg: object = None) -> bool:
        """Let others in first."""
        danger.call("cancel")
        return super().cancel(msg)


class Ready(collections.deque):  # type: ignore[type-arg]
    """The ready queue of a loop, counted by Python code."""

    def __len__(self) -> int:
        """Let others in first."""
        danger.call("len")
        return super().__len__()


def make_loop_class(base: type[asyncio.AbstractEventLoop]) -> type[asyncio.AbstractEventLoop]:
    """Make a loop whose methods are Python code."""

    class Loop(base):  # type: ignore[valid-type, misc]
        def create_future(self) -> Any:
            danger.call("create_future")
            return Future(loop=self)

        def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
            is_pump = type(callback).__name__ == "PumpToken"
            if is_pump:
                danger.call("before call_soon")
            handle = super().call_soon(callback, *args, context=context)
            if is_pump:
                danger.call("after call_soon")
            return handle

    return Loop


class Wrapper(collections.abc.Coroutine):  # type: ignore[type-arg]
    """A coroutine of somebody else's, all of it Python code."""

    def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
        """Wrap another one."""
        self._inner = inner

    def __getattr__(self, name: str) -> str:
        """Let others in first."""
        if name != "__qualname__":
            raise AttributeError(name)
        danger.call("qualname")
        return "Wrapper"

    def send(self, value: Any) -> Any:
        """Pass it on."""
        return self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        """Pass it on."""
        return self._inner.throw(*error)

    def close(self) -> None:
        """Pass it on."""
        self._inner.close()

    def __await__(self) -> Any:
        """Pass it on."""
        return self._inner.__await__()


class Finalised:
    """Garbage in a cycle whose finaliser strikes; it makes the next one."""

    def __init__(self) -> None:
        """Lead back to itself."""
        self.own = self

    def __del__(self) -> None:
        """Strike, and go on."""
        danger.call("finaliser")
        if danger.place == "finaliser":
            Finalised()


class Hooks:
    """Called round each poll."""

    def before_poll(self, *_: object) -> None:
        """Strike."""
        danger.call("before_poll")

    def after_poll(self, *_: object) -> None:
        """Strike."""
        danger.call("after_poll")

    def on_yield(self, *_: object) -> None:
        """Nothing more."""

    def on_completion(self, *_: object) -> None:
        """Nothing more."""


def find_regions(code: types.CodeType) -> Any:
    """Find them as usual, after a strike."""
    danger.call("regions")
    return async_with_bodies(code)


@contextlib.contextmanager
def finder_in_force() -> Iterator[None]:
    """Nothing that was found before is known."""
    _core.set_region_finder(find_regions)
    try:
        yield
    finally:
        _core.set_region_finder(async_with_bodies)


PLACES = (
    "create_future",
    "before call_soon",
    "after call_soon",
    "set_result",
    "cancel",
    "len",
    "qualname",
    "before_poll",
    "after_poll",
    "regions",
    "finaliser",
    "signal",
)


def same_coroutine() -> Any:
    """The one that is about to run, or runs; not that which waits for all others."""
    task = asyncio.current_task()
    return None if task is None or task.get_name() == "main" else task.get_coro()


def release_all() -> None:
    """As a handler that reads the configuration again does."""
    manager = pulse.get_manager()
    manager.set_mode("observe")
    manager.set_mode("act")


def stay_observing() -> None:
    """Nothing may be parked from now on."""
    pulse.get_manager().set_mode("observe")


def switch_off_and_on() -> None:
    """Likewise, with all polls unmeasured in between."""
    manager = pulse.get_manager()
    manager.set_mode("off")
    manager.set_mode("act")


def uninstall() -> None:
    """For good."""
    pulse.uninstall()


def resume_it() -> None:
    """Resume the coroutine that is being resumed."""
    coroutine = same_coroutine()
    if coroutine is not None:
        with contextlib.suppress(StopIteration, ValueError, RuntimeError, TypeError, AttributeError):
            coroutine.send(None)


def throw_into_it() -> None:
    """Raise an exception in the coroutine that is being resumed."""
    coroutine = same_coroutine()
    if coroutine is not None:
        with contextlib.suppress(StopIteration, ValueError, RuntimeError, KeyError, AttributeError):
            coroutine.throw(KeyError("thrown"))


def close_it() -> None:
    """Close the coroutine that is being resumed."""
    coroutine = same_coroutine()
    if coroutine is not None:
        with contextlib.suppress(ValueError, RuntimeError, AttributeError):
            coroutine.close()


def cancel_everything() -> None:
    """Cancel all tasks but the first."""
    for task in asyncio.all_tasks():
        if task.get_name() != "main":
            task.cancel()


def collect_and_report() -> None:
    """Have the collector look at everything, and read all that is known."""
    gc.collect()
    process_report()
    _core.set_region_finder(find_regions)


ACTIONS = (
    release_all,
    stay_observing,
    switch_off_and_on,
    uninstall,
    resume_it,
    throw_into_it,
    close_it,
    cancel_everything,
    collect_and_report,
)


class Kept:
    """What is delivered; its end is a place, too."""

    def __del__(self) -> None:
        """Strike."""
        danger.call("set_result")


async def work(rounds: int) -> None:
    """Yield often, and wait for a future of the loop now and then."""
    loop = asyncio.get_running_loop()
    for i in range(rounds * 20 if danger.place == "signal" else rounds):
        if i % 4 == 0:
            future = loop.create_future()
            loop.call_soon(lambda future=future: None if future.done() else future.set_result(Kept()))
            await future
        else:
            await asyncio.sleep(0)


async def main(manager: pulse.TierManager) -> None:
    """Run tasks that are parked at every resumption, some of which are cancelled meanwhile."""
    manager.governor.set_chaos(1, 1.0, 0.0)
    if danger.place in ("before_poll", "after_poll"):
        manager.governor.set_hooks(Hooks())
    tasks: list[asyncio.Task[Any]] = [asyncio.ensure_future(work(12)) for _ in range(4)]
    tasks += [asyncio.get_running_loop().create_task(Wrapper(work(6))) for _ in range(12)]  # type: ignore[arg-type]
    if danger.place == "signal":
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    await asyncio.sleep(0)
    for cancelled in (tasks[:2], tasks[-4:]):
        for each in cancelled:
            each.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
    # Those that an action left without anybody to wake them are cancelled.
    _, pending = await asyncio.wait(tasks, timeout=0.2)
    for left in pending:
        left.cancel()
    signal.setitimer(signal.ITIMER_REAL, 0)
    await asyncio.gather(*tasks, return_exceptions=True)


def run(loop_class: type[asyncio.AbstractEventLoop], place: str, action: Callable[[], None]) -> int:
    """Run it all once; how often the action was taken."""
    global danger
    loop = make_loop_class(loop_class)()
    danger = Danger(place, action)
    if place == "len" and hasattr(loop, "_ready"):
        loop._ready = Ready(loop._ready)
    loop.set_exception_handler(lambda *_: None)
    manager = pulse.install(loop=loop)
    if place == "finaliser":
        gc.set_threshold(10)
        Finalised()
    try:
        with finder_in_force():
            # Named from the beginning: actions strike even before its first step, and leave it alone.
            loop.run_until_complete(loop.create_task(main(manager), name="main"))
    finally:
        gc.set_threshold(700)
        loop.close()
        strikes, danger = danger.strikes, Danger("nowhere", lambda: None)
    waiting = manager.report().slow_queue.queue.queued
    assert sum(waiting) == 0, (place, action.__name__, waiting)
    assert manager.get_metrics().internal_errors == 0, (place, action.__name__)
    return strikes


def ends_plain_python(place: str, action: Callable[[], None]) -> bool:
    """Whether CPython 3.11 itself may crash: it does not see that a coroutine runs when something is thrown into it."""
    return sys.version_info < (3, 12) and place in ("signal", "finaliser") and action is throw_into_it


signal.signal(signal.SIGALRM, lambda *_: danger.call("signal"))
for loop_class in loop_classes:
    for place in PLACES:
        taken = 0
        for action in ACTIONS:
            if not ends_plain_python(place, action):
                taken += run(loop_class, place, action)
        # uvloop has no ready queue in sight.
        assert taken > len(ACTIONS) or (place == "len" and loop_class is not asyncio.SelectorEventLoop), (place, taken)
print("ok")
sys.stdout.flush()
