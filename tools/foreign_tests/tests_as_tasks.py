"""A pytest plugin: each plain test runs in two tasks at once, so that its library can be suspended and share with itself.

If the loop is governed, the tests have opted in, and the library has not: of it only vetted functions are suspended.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import sys
import types
import unittest
from collections.abc import Callable, Coroutine
from typing import Any

import pytest


async def _call(function: Callable[[], object]) -> None:
    function()


def _task(coro: Coroutine[Any, Any, None], package: str) -> asyncio.Task[None]:
    pulse = sys.modules.get("asyncio_pulse")
    if pulse is None:
        return asyncio.create_task(coro)
    pulse.get_manager().update_config(pulse.TierConfig(preemptible_modules=(package,)))
    task: asyncio.Task[None] = pulse.spawn(coro, preemptible=True)
    return task


async def _call_all(functions: list[Callable[[], object]], package: str) -> None:
    tasks = [_task(_call(function), package) for function in functions]
    await asyncio.wait(tasks)
    for task in tasks:
        task.result()


def _run(function: Callable[[], object], another: Callable[[], object], module: str) -> None:
    asyncio.run(_call_all([function, another], module.partition(".")[0]))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Call a test that is no coroutine function."""
    function = pyfuncitem.obj
    if inspect.iscoroutinefunction(inspect.unwrap(function)):
        return None
    names = inspect.signature(function).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names if name in pyfuncitem.funcargs}
    another = function
    if isinstance(function, types.MethodType):
        # Tests may count in their object.
        another = types.MethodType(function.__func__, copy.deepcopy(function.__self__))
    _run(
        functools.partial(function, **arguments),
        functools.partial(another, **arguments),
        pyfuncitem.module.__name__,
    )
    return True


def _call_test_method(case: unittest.TestCase, method: types.MethodType) -> None:
    """Call a method of a test case of unittest."""
    _run(method, types.MethodType(method.__func__, copy.copy(case)), type(case).__module__)


unittest.TestCase._callTestMethod = _call_test_method  # type: ignore[attr-defined]
