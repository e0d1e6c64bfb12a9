"""A pytest plugin: test clients that run their application in a loop of another thread run it in the main thread.

Signals are handled in the main thread, so nothing else is suspended in the middle of its code. Starlette's test client uses
a portal of anyio. This one runs the loop whenever the test waits for something, and not in between.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import anyio.from_thread


class _Result(concurrent.futures.Future[Any]):
    """The result of a task of the portal, set in the task itself. Waiting for it runs the loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, function: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> None:
        super().__init__()
        self.task = loop.create_task(self._call(function, arguments))

    async def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        try:
            result = function(*arguments)
            self.set_result(await result if asyncio.iscoroutine(result) else result)
        except asyncio.CancelledError:
            self.cancel()
            self.set_running_or_notify_cancel()
            raise
        except BaseException as error:
            self.set_exception(error)

    def _run(self, timeout: float | None) -> None:
        if not self.done():
            self.task.get_loop().run_until_complete(asyncio.wait({self.task}, timeout=timeout))

    def result(self, timeout: float | None = None) -> Any:
        self._run(timeout)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._run(timeout)
        return super().exception(timeout)


class _Started:
    """What a task of the portal reports with as soon as it is ready."""

    def __init__(self, ready: asyncio.Future[Any]) -> None:
        self._ready = ready

    def started(self, value: Any = None) -> None:
        self._ready.set_result(value)


class MainThreadPortal:
    """Has the methods of anyio's blocking portal that test clients use."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function inside the loop, and run the loop until it is done."""
        return self.start_task_soon(function, *arguments).result()

    def start_task_soon(self, function: Callable[..., Any], *arguments: Any, name: object = None) -> _Result:
        """Make a task of a function, plain or `async`. It runs when the test waits for something."""
        return _Result(self._loop, function, arguments)

    def start_task(self, function: Callable[..., Any], *arguments: Any, name: object = None) -> tuple[_Result, Any]:
        """Make a task, and run the loop until the task reports that it is ready."""
        ready = self._loop.create_future()
        result = self.start_task_soon(lambda: function(*arguments, task_status=_Started(ready)))
        self._loop.run_until_complete(asyncio.wait({ready, result.task}, return_when=asyncio.FIRST_COMPLETED))
        return result, ready.result() if ready.done() else result.result()


@contextlib.contextmanager
def _start_blocking_portal(*_: Any, **__: Any) -> Iterator[MainThreadPortal]:
    with asyncio.Runner() as runner:
        yield MainThreadPortal(runner.get_loop())


anyio.from_thread.start_blocking_portal = _start_blocking_portal  # type: ignore[assignment]
