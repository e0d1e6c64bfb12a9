"""Where the bodies of `async with` are: judged by where a real coroutine is suspended, on whatever Python this is."""

from __future__ import annotations

import struct
import types
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from asyncio_pulse.runtime.regions import async_with_bodies


@types.coroutine
def here(inside: bool) -> Any:
    """Suspend, and say whether that is inside of a body."""
    yield inside


class Managed:
    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *error: object) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


async def no_body() -> None:
    with Managed():
        await here(False)
    try:
        await here(False)
        raise KeyError
    except KeyError:
        await here(False)
    finally:
        await here(False)


async def before_in_and_after() -> None:
    await here(False)
    async with Managed():
        await here(True)
    await here(False)


async def nested_statements() -> None:
    async with Managed():
        for _ in range(2):
            await here(True)
            try:
                await here(True)
                raise KeyError
            except KeyError:
                await here(True)
            finally:
                await here(True)
            with Managed():
                await here(True)
        await here(True)
    await here(False)


async def in_loops_and_handlers() -> None:
    for turn in range(3):
        try:
            async with Managed():
                await here(True)
                if turn == 1:
                    continue
            await here(False)
            raise KeyError
        except KeyError:
            await here(False)
            async with Managed():
                await here(True)
        finally:
            await here(False)


async def two_at_once() -> None:
    async with Managed(), Managed():
        await here(True)
        async with Managed():
            await here(True)
        await here(True)
    await here(False)


async def synchronous_outside() -> None:
    with Managed():
        async with Managed():
            await here(True)
        await here(False)


async def returns_from_inside() -> int:
    async with Managed():
        await here(True)
        return 3


def suspensions(coro: Coroutine[Any, Any, Any]) -> list[tuple[bool, bool]]:
    """What each suspension of a coroutine says, and what the regions say of it."""
    bodies = list(struct.iter_unpack("=II", async_with_bodies(coro.cr_code)))  # type: ignore[attr-defined]
    found = []
    while True:
        try:
            told = coro.send(None)
        except StopIteration:
            return found
        offset = coro.cr_frame.f_lasti  # type: ignore[attr-defined]
        found.append((told, any(start <= offset < end for start, end in bodies)))


@pytest.mark.parametrize(
    "function",
    [
        no_body,
        before_in_and_after,
        nested_statements,
        in_loops_and_handlers,
        two_at_once,
        synchronous_outside,
        returns_from_inside,
    ],
)
def test_a_coroutine_suspended_in_a_body_is_found_there(function: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    found = suspensions(function())
    assert found
    assert [regions for _, regions in found] == [told for told, _ in found]
