"""A policy or the configuration opts in the program's code, also in tasks that a library creates, but no library."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import asyncio_pulse as pulse
from tests.support.preempting import AT_ONCE_US, preemptions, put_at_yield, refused

SOURCE = """
def compute():
    for _ in range(1_000_000):
        pass

async def work():
    compute()

async def serve(handler):
    await handler()
"""

ANYWHERE = {"*": pulse.GroupPolicy(preempt="anywhere")}


def module_in(directory: str, name: str) -> dict[str, Any]:
    module: dict[str, Any] = {"__name__": name}
    exec(compile(SOURCE, f"{directory}/{name}.py", "exec"), module)
    return module


LIBRARY = module_in("/srv/lib/site-packages", "library_with_tasks")
PROGRAM = module_in("/srv/service", "program_with_handlers")

Start = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


def inherits_the_group(coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(coro)


def is_put_into_the_group(coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return pulse.spawn(coro, group="named")


def opts_in(coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return pulse.spawn(coro, preemptible=True)


@pytest.mark.parametrize(
    ("start", "work", "is_left"),
    [
        (inherits_the_group, PROGRAM["work"], True),
        (inherits_the_group, LIBRARY["work"], False),
        (inherits_the_group, lambda: LIBRARY["serve"](PROGRAM["work"]), True),
        (inherits_the_group, lambda: LIBRARY["serve"](LIBRARY["work"]), False),
        (is_put_into_the_group, LIBRARY["work"], True),
        (opts_in, LIBRARY["work"], True),
    ],
    ids=["program", "library", "library awaits program", "library awaits library", "named", "opted in"],
)
def test_a_group_opts_in_what_its_tasks_run(start: Start, work: Callable[[], Any], is_left: bool) -> None:
    async def main() -> None:
        async def first() -> None:
            await start(work())

        # Only what it starts is to be suspended.
        await pulse.spawn(first(), group="all", preemptible=False)
        assert (preemptions() > 0) == is_left
        assert is_left or refused("module") > 0

    pulse.run(main(), config=pulse.TierConfig(poll_budget_us=AT_ONCE_US, groups=ANYWHERE))


@pytest.mark.parametrize(("module", "is_left"), [(PROGRAM, True), (LIBRARY, False)], ids=["program", "library"])
@pytest.mark.parametrize("named", [False, True])
def test_the_configuration_opts_in_offenders(module: dict[str, Any], is_left: bool, named: bool) -> None:
    async def main() -> None:
        task = asyncio.create_task(module["work"]())
        put_at_yield(task)
        await task
        assert (preemptions() > 0) == (is_left or named)

    modules = (LIBRARY["__name__"],) if named else ()
    settings = pulse.TierConfig(poll_budget_us=AT_ONCE_US, preempt="anywhere", preemptible_modules=modules)
    pulse.run(main(), config=settings)
