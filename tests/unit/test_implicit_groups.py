"""Implicit groups: named by the function, and by its module where two modules have a function of that name."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine
from typing import Any

import asyncio_pulse as pulse
from asyncio_pulse import _core as core
from tests.support.driving import Driven, snapshots
from tests.support.loops import LoopFactory

SOURCE = """
import asyncio
async def process():
    await asyncio.sleep(0)
"""
Function = Callable[[], Coroutine[Any, Any, None]]


def process_of(module: str, file: str | None = None) -> Function:
    namespace = types.ModuleType(module)
    exec(compile(SOURCE, file or f"/app/{module}.py", "exec"), namespace.__dict__)
    function: Function = namespace.process
    return function


def tasks_of_groups(loop_factory: LoopFactory, *functions: Function) -> dict[str, int]:
    async def main() -> dict[str, int]:
        for function in functions:
            await asyncio.create_task(function())
        return {group.name: group.tasks for group in pulse.get_manager().groups() if "process" in group.name}

    return pulse.run(main(), loop_factory=loop_factory)


def test_functions_of_one_name_in_two_modules_are_two_groups(loop_factory: LoopFactory) -> None:
    orders, billing, stock = map(process_of, ("orders", "billing", "stock"))
    found = tasks_of_groups(loop_factory, orders, billing, orders, billing, billing, stock)
    assert found == {"orders.process": 2, "billing.process": 3, "stock.process": 1}


def test_the_module_is_shown_only_where_names_collide(loop_factory: LoopFactory) -> None:
    orders = process_of("orders")
    assert tasks_of_groups(loop_factory, orders, orders) == {"process": 2}


def test_a_function_that_is_defined_again_is_the_same_group(loop_factory: LoopFactory) -> None:
    # As in a notebook, whose cells are files of one module.
    cells = [process_of("__main__", f"<cell {number}>") for number in range(3)]
    assert tasks_of_groups(loop_factory, *cells, *cells) == {"process": 6}


def test_the_table_stays_bounded_when_names_collide() -> None:
    governor = core.Governor(0)
    for number in range(300):
        driven = Driven(governor, process_of(f"module{number}")())
        driven.poll()
        driven.governed.close()
    assert len(snapshots(governor)) == 300
    manager = pulse.TierManager(pulse.TierConfig(max_groups=16))
    for number in range(300):
        driven = Driven(manager.governor, process_of(f"module{number}")())
        driven.poll()
        driven.governed.close()
    groups = manager.groups()
    assert len(groups) <= 17
    assert sum(group.tasks for group in groups) == 300


def test_names_of_any_length_are_kept_short_and_apart(loop_factory: LoopFactory) -> None:
    async def main() -> list[str]:
        for ending in "ab":
            coro = process_of("orders")()
            coro.__qualname__ = "process" + 1_000_000 * "x" + ending
            await asyncio.create_task(coro)
        return sorted(group.name for group in pulse.get_manager().groups() if "process" in group.name)

    names = pulse.run(main(), loop_factory=loop_factory)
    assert len(set(names)) == 2
    assert {len(name) for name in names} == {200}
