"""SQLAlchemy's greenlets in tasks that are suspended in their middle, and beside such tasks."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.util import await_only, greenlet_spawn

import asyncio_pulse as pulse
from tests.support.loops import LoopFactory
from tests.support.preempting import AT_ONCE_US, compute_until, refused, run_preempting
from tests.thirdparty.library import AUTHORS, BOOKS, library, titles_of, write

ROUNDS = 20_000
"""Many budgets long."""


def compute() -> int:
    total = 0
    for number in range(ROUNDS):
        total += number
    return total


async def fail(number: int) -> None:
    await asyncio.sleep(0)
    raise KeyError(number)


def in_greenlet(number: int) -> list[int]:
    """Await from synchronous code, and compute in between."""
    results = []
    for part in range(BOOKS):
        results.append(await_only(asyncio.sleep(0, part)) + compute())
        try:
            await_only(fail(number))
        except KeyError as error:
            results.append(error.args[0])
    return results


def test_sessions_in_suspended_tasks_and_beside_them(loop_factory: LoopFactory, tmp_path: Path) -> None:
    async def work(sessions: async_sessionmaker[AsyncSession], number: int) -> tuple[list[str], list[int], int]:
        await write(sessions, number)
        total = compute()
        results = await greenlet_spawn(in_greenlet, number)
        total += compute()
        return await titles_of(sessions, number), results, total

    async def main() -> dict[str, int]:
        done = asyncio.Event()
        async with library(f"sqlite+aiosqlite:///{tmp_path / 'library.db'}?timeout=30") as engine:
            beside = [pulse.spawn(compute_until(done), group="beside", preemptible=True) for _ in range(2)]
            sessions = async_sessionmaker(engine)
            tasks = [pulse.spawn(work(sessions, number), group="around", preemptible=True) for number in range(AUTHORS)]
            results = await asyncio.wait_for(asyncio.gather(*tasks), 60)
            done.set()
            await asyncio.gather(*beside)
        total = sum(range(ROUNDS))
        for number, (titles, in_between, around) in enumerate(results):
            assert titles == [f"{number}.{part}" for part in range(BOOKS)]
            assert in_between == [each for part in range(BOOKS) for each in (part + total, number)]
            assert around == 2 * total
        assert refused("greenlet") > 0
        return {group.name: group.forced_yields for group in pulse.get_manager().groups()}

    suspended = run_preempting(main(), loop_factory, poll_budget_us=AT_ONCE_US)
    assert min(suspended["around"], suspended["beside"]) > AUTHORS
