"""Jumps at which the interpreter misses the `finally` around a loop: each is marked, and cancellations are raised later."""

from __future__ import annotations

import asyncio
import dis
import signal
import sys
import textwrap
import threading
import time
import types
from collections.abc import Iterator
from typing import Any

import pytest

import asyncio_pulse as pulse
from asyncio_pulse import _core
from tests.support.preempting import AT_ONCE_US, WITHIN_S, preemptions, run_preempting, until_preempted

LOOPS, ESCAPES = 4, 128
SHOTS = 25

BODIES = (
    "while True: pass",
    "while True:\n x += 1",
    "while True:\n if x > 5: x = 0.0\n x += 1",
    "while True:\n if x != 5: continue\n x = 7.0",
    "while True:\n if x == 5: break",
    "x = 1.0\nwhile True: x += 1",
    "while x >= 0: x += 1",
    "while x >= 0 and not done: x += 1",
    "while done or x >= 0: x += 1",
    "while x is not None: x += 1",
    "while x >= 0:\n if x > 5:\n  x = 0.0\n  continue\n x += 1",
    "while x >= 0:\n x += 1\n if x > 5: x = 0.0",
    "while x >= 0:\n if x == -5: yield",
    "while True: yield",
    "for each in many: x = each",
    "for each in many:\n if each == x: x = 3.0",
    "for each in many:\n x = 0.0\n while x < 50: x += 1",
    "while True:\n x = 0.0\n while x < 50: x += 1",
    "while not done:\n while x < 50: x += 1\n x = 0.0",
    "while True:\n try: x += 1\n except KeyError: pass",
    "while x >= 0:\n try: x += 1\n except KeyError: pass",
    "while True:\n try:\n  if x != 5: continue\n  x = 7.0\n except KeyError:\n  pass",
    "try:\n while x >= 0: x += 1\nexcept KeyError: pass",
    "try:\n raise KeyError\nexcept KeyError:\n while x >= 0: x += 1",
    "x = [each for each in many for other in many if each == other]",
)
"""`x` is a float that is compared with integers: Python 3.11 does not check for signals in loops over other comparisons."""


class Shot(BaseException):
    """Raised by the signal's handler."""


def compiled(body: str, kind: str = "") -> types.FunctionType:
    source = f"{kind}def looping(x, done, many, ended):\n try:\n"
    source += textwrap.indent(body, "  ") + "\n finally:\n  ended.append(True)\n"
    names: dict[str, Any] = {}
    exec(compile(source, "<generated>", "exec"), names)
    function = names["looping"]
    assert isinstance(function, types.FunctionType)
    return function


def _rounds(function: types.FunctionType, ended: list[bool]) -> Iterator[None]:
    """Call a function often. As a generator: where a handler is missed, exceptions stay handled, and end with it."""
    for _ in range(10_000):
        ended.clear()
        for _ in function(0.0, False, range(50), ended) or ():
            pass
    yield


class Gun:
    """Runs functions until a signal raises in them.

    A thread sends the signal, because up to Python 3.12 the main thread does not see one that another thread received.
    """

    def __init__(self) -> None:
        self._code: types.CodeType | None = None
        self._at = -1
        self._is_closed = False
        self._armed = threading.Event()
        self._main = threading.get_ident()
        self._thread = threading.Thread(target=self._send)
        self._earlier = signal.signal(signal.SIGALRM, self._on_signal)
        self._interval = sys.getswitchinterval()
        sys.setswitchinterval(0.000_1)
        self._thread.start()

    def close(self) -> None:
        """Give back what was taken."""
        self._is_closed = True
        self._armed.set()
        self._thread.join()
        sys.setswitchinterval(self._interval)
        signal.signal(signal.SIGALRM, self._earlier)

    def shoot(self, function: types.FunctionType) -> tuple[int, bool] | None:
        """Return where the signal raised, and whether the function's `finally` ran; None if it never did."""
        ended: list[bool] = []
        self._code = function.__code__
        self._armed.set()
        try:
            next(_rounds(function, ended))
        except Shot:
            return self._at, bool(ended)
        finally:
            self._code = None
        return None

    def _send(self) -> None:
        while True:
            self._armed.wait()
            self._armed.clear()
            time.sleep(0.000_2)
            if self._is_closed:
                return
            signal.pthread_kill(self._main, signal.SIGALRM)

    def _on_signal(self, _: int, frame: types.FrameType | None) -> None:
        if frame is not None and frame.f_code is self._code:
            self._at = frame.f_lasti
            self._code = None
            raise Shot
        if self._code is not None:
            self._armed.set()


@pytest.fixture
def gun() -> Iterator[Gun]:
    gun = Gun()
    yield gun
    gun.close()
    assert sys.exc_info() == (None, None, None)


@pytest.mark.parametrize("body", BODIES)
def test_a_jump_is_marked_if_and_only_if_its_finally_is_missed(body: str, gun: Gun) -> None:
    function = compiled(body)
    marks = _core.code_marks(function.__code__)
    hits = 0
    for _ in range(SHOTS):
        shot = gun.shoot(function)
        if shot is not None and marks[shot[0] // 2] & LOOPS:
            offset, is_caught = shot
            hits += 1
            assert bool(marks[offset // 2] & ESCAPES) != is_caught, (offset, dis.Bytecode(function).dis())
    # A comprehension was code of its own.
    assert hits > 0 or (sys.version_info < (3, 12) and "[" in body)


@pytest.mark.parametrize("body", [body for body in BODIES if body.startswith("while") and "yield" not in body])
def test_a_cancellation_ends_a_loop_that_calls_nothing(body: str) -> None:
    async def main() -> None:
        for _ in range(5):
            ended: list[bool] = []
            before = preemptions()
            task = pulse.spawn(compiled(body, "async ")(0.0, False, range(50), ended), preemptible=True)
            await until_preempted(before + 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, WITHIN_S)
            assert ended == [True]
            assert sys.gettrace() is None

    run_preempting(main(), poll_budget_us=AT_ONCE_US)
