"""Hooks that raise are removed, hooks that block are waited for: every task ends, and is counted."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from asyncio_pulse.lowlevel import PreemptionHooks
from tests.isolated.measuring import rounds
from tests.stress.behaviours import config, mixed
from tests.stress.books import Books
from tests.stress.census import unchanged
from tests.stress.figures import Figures
from tests.stress.loops import governed, kinds
from tests.support.loops import LoopFactory

TASKS, STEPS = 60, rounds(short=4, long=100)
METHODS = ("before_poll", "after_poll", "on_yield", "on_completion", "on_tier_change")
logging.disable(logging.CRITICAL)


def raising(method: str, calls: list[str]) -> PreemptionHooks:
    def fail(*arguments: object, **options: Any) -> None:
        calls.append(method)
        if len(calls) > 20:
            raise ZeroDivisionError(method)

    hooks = PreemptionHooks()
    setattr(hooks, method, fail)
    return hooks


def blocking(method: str, calls: list[str]) -> PreemptionHooks:
    def block(*arguments: object, **options: Any) -> None:
        calls.append(method)
        if len(calls) % 50 == 0:
            time.sleep(0.005)

    hooks = PreemptionHooks()
    setattr(hooks, method, block)
    return hooks


async def load(books: Books) -> None:
    books.enter(asyncio.current_task())
    tasks = [books.spawn(coro, group=group, preemptible=True) for group, coro in mixed(TASKS, STEPS)]
    assert await asyncio.gather(*tasks) == [STEPS] * TASKS


def run(make_loop: LoopFactory) -> None:
    figures, books = Figures(), Books()
    raised: dict[str, list[str]] = {method: [] for method in METHODS}
    blocked: dict[str, list[str]] = {method: [] for method in METHODS}
    with governed(make_loop, config()) as (runner, manager):
        for method in METHODS:
            manager.hooks.register(raising(method, raised[method]))
            manager.hooks.register(blocking(method, blocked[method]))
        runner.run(load(books))
        removed = [method for method in METHODS if len(raised[method]) > 20]
        assert len(manager.hooks) == 2 * len(METHODS) - len(removed)
    assert {"before_poll", "after_poll", "on_completion"} <= set(removed)
    # Who raised was not called again; who blocks is told everything.
    assert all(len(raised[method]) == 21 for method in removed)
    assert len(blocked["before_poll"]) == len(blocked["after_poll"]) == manager.get_metrics().polls
    assert len(blocked["on_completion"]) == TASKS + 1
    books.check(manager)
    figures.add(manager)
    figures.print(f"hooks that fail: {', '.join(removed)}")


for each in kinds():
    run(each)
    with unchanged():
        run(each)
print("ok")
