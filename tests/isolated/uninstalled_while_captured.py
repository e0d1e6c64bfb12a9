"""The watchdog may have to ask the program's own code about a stall: whatever that code does meanwhile, nothing breaks."""

from __future__ import annotations

import asyncio
import builtins
import gc
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import asyncio_pulse as pulse

MAIN = threading.main_thread()
CONFIG = pulse.TierConfig(slow_poll_threshold_ms=20)
PATIENCE_S = 20


class Question:
    """What the watchdog asks Python code of ours: the answer takes as long as the main thread does something meanwhile."""

    def __init__(self) -> None:
        """Not asked yet."""
        self.is_asked, self.is_answered = threading.Event(), threading.Event()

    def ask(self) -> None:
        """Let the main thread go on, if another one asks."""
        if threading.current_thread() is not MAIN and not self.is_asked.is_set():
            self.is_asked.set()
            self.is_answered.wait(PATIENCE_S)

    def wait(self, meanwhile: Callable[[], object]) -> None:
        """In the main thread: stall until it is asked, and do something before the answer."""
        end = time.monotonic() + PATIENCE_S
        while not self.is_asked.is_set():
            assert time.monotonic() < end, "the watchdog does not ask"
        meanwhile()
        self.is_answered.set()


class Loop(asyncio.SelectorEventLoop):
    """A loop that tells in Python code whether it runs, and by a method of its own."""

    question: Question

    @property
    def _thread_id(self) -> int | None:
        self.question.ask()
        if threading.current_thread() is not MAIN:
            raise AttributeError
        return self.runner

    @_thread_id.setter
    def _thread_id(self, runner: int | None) -> None:
        self.runner = runner

    def is_running(self) -> bool:
        """As the base class has it."""
        self.question.ask()
        return self.runner is not None


def new_loop() -> Loop:
    Loop.question = Question()
    loop = Loop()
    pulse.install(CONFIG, loop=loop)
    return loop


def uninstall_while_the_loop_is_asked() -> None:
    async def main() -> None:
        loop.question.wait(lambda: pulse.uninstall(loop=loop))
        # The watchdog goes on with what it holds, which others may have by now.
        keep.append([bytes(size) for size in range(100, 4000) for _ in range(3)])
        await asyncio.sleep(0.05)

    keep: list[object] = []
    loop = new_loop()
    loop.run_until_complete(main())
    loop.close()


def another_loop_in_its_place() -> None:
    """The new governor may have the memory of the old one, and does have its slot."""

    async def main() -> None:
        loop.question.wait(replace)

    def replace() -> None:
        pulse.uninstall(loop=loop)
        gc.collect()
        managers.append(pulse.install(CONFIG, loop=other))

    managers: list[pulse.TierManager] = []
    loop, other = new_loop(), asyncio.new_event_loop()
    loop.run_until_complete(main())
    other.run_until_complete(asyncio.sleep(0.05))
    assert managers[0].report().stalls == ()
    pulse.uninstall(loop=other)
    loop.close()
    other.close()


class Foreign(Coroutine[Any, Any, None]):
    """A coroutine of another kind, whose frame is told by Python code."""

    __name__ = __qualname__ = "Foreign"
    cr_code = cr_await = None
    question: Question

    def __init__(self, inner: Coroutine[Any, Any, None]) -> None:
        """Wrap another one."""
        self.inner = inner

    @property
    def cr_frame(self) -> None:
        """None, in the end."""
        self.question.ask()

    def send(self, value: Any) -> Any:
        """As the other one."""
        return self.inner.send(value)

    def throw(self, *arguments: Any) -> Any:
        """As the other one."""
        return self.inner.throw(*arguments)

    def close(self) -> None:
        """As the other one."""
        self.inner.close()

    def __await__(self) -> Generator[Any, Any, None]:
        """As the other one."""
        return self.inner.__await__()


def uninstall_while_a_frame_is_asked_for() -> None:
    async def work() -> None:
        question.wait(lambda: pulse.uninstall(loop=loop))

    async def main() -> None:
        await asyncio.create_task(Foreign(work()))

    question = Foreign.question = Question()
    loop = asyncio.new_event_loop()
    pulse.install(CONFIG, loop=loop)
    loop.run_until_complete(main())
    loop.close()


def switch_the_collector_off() -> None:
    """It stays as the program has it, also if that is told while the watchdog asks."""

    async def main() -> None:
        loop.question.wait(switch_off)
        await asyncio.sleep(0.05)

    def switch_off() -> None:
        seen.append(gc.isenabled())
        gc.disable()

    seen: list[bool] = []
    loop = new_loop()
    try:
        loop.run_until_complete(main())
        assert seen == [True]
        assert not gc.isenabled()
    finally:
        gc.enable()
    pulse.uninstall(loop=loop)
    loop.close()


def stall_without_a_name_for_the_library() -> None:
    """The path of the standard library need not have a form in UTF-8."""
    library = sys._stdlib_dir  # type: ignore[attr-defined]
    sys._stdlib_dir = "/tmp/pyth\udcf6n"  # type: ignore[attr-defined]
    loop = asyncio.new_event_loop()
    manager = pulse.install(CONFIG, loop=loop)

    async def main() -> None:
        end = time.monotonic() + PATIENCE_S
        while not manager.report().stalls and time.monotonic() < end:
            time.sleep(0.3)
            await asyncio.sleep(0.01)

    loop.run_until_complete(loop.create_task(main(), name="the main one"))
    assert [stall.task for stall in manager.report().stalls] == ["the main one"], manager.report().stalls
    assert manager.get_metrics().internal_errors == 0
    sys._stdlib_dir = library  # type: ignore[attr-defined]
    pulse.uninstall(loop=loop)
    loop.close()


def name_a_culprit_under_an_import_hook() -> None:
    """The program's hook is not called from a thread that it does not know."""

    def note(name: str, *arguments: Any, **keywords: Any) -> Any:
        importers.append(threading.get_ident())
        return original(name, *arguments, **keywords)

    def keep_the_gil() -> None:
        while not done:
            sum(range(3_000_000))

    async def main() -> None:
        end = time.monotonic() + PATIENCE_S
        while not any(stall.culprit and "keep_the_gil" in stall.culprit for stall in manager.report().stalls):
            assert time.monotonic() < end, manager.report().stalls
            turn_end = time.monotonic() + 0.2
            while time.monotonic() < turn_end:
                pass
            await asyncio.sleep(0)

    done: list[bool] = []
    importers: list[int] = []
    original = builtins.__import__
    loop = asyncio.new_event_loop()
    manager = pulse.install(CONFIG, loop=loop)
    thread = threading.Thread(target=keep_the_gil)
    builtins.__import__ = note
    thread.start()
    try:
        loop.run_until_complete(main())
    finally:
        done.append(True)
        thread.join()
        builtins.__import__ = original
    assert set(importers) <= {MAIN.ident, thread.ident}
    pulse.uninstall(loop=loop)
    loop.close()


# Else the watchdog would be stopped, and waited for, together with the loop that it asks.
idle = asyncio.new_event_loop()
pulse.install(CONFIG, loop=idle)
for scenario in (
    uninstall_while_the_loop_is_asked,
    another_loop_in_its_place,
    uninstall_while_a_frame_is_asked_for,
    switch_the_collector_off,
    stall_without_a_name_for_the_library,
    name_a_culprit_under_an_import_hook,
):
    scenario()
pulse.uninstall(loop=idle)
idle.close()
print("ok")
