"""SQLAlchemy: a synchronous core in greenlets, on SQLite and PostgreSQL, over a pool smaller than the demand."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from tests.thirdparty.conftest import Run
from tests.thirdparty.library import AUTHORS, BOOKS, Author, Book, library, titles_of, write


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('sqlite') / 'library.db'}?timeout=30"
    return f"postgresql+asyncpg://{request.getfixturevalue('postgres')}"


def test_concurrent_transactions(run: Run, url: str) -> None:
    async def scenario() -> object:
        async with library(url) as engine:
            sessions = async_sessionmaker(engine)
            await asyncio.gather(*(write(sessions, number) for number in range(AUTHORS)))
            titles = await asyncio.gather(*(titles_of(sessions, number) for number in range(AUTHORS)))
            return titles, engine.pool.checkedout()  # type: ignore[attr-defined]

    expected = [[f"{number}.{part}" for part in range(BOOKS)] for number in range(AUTHORS)]
    assert run(scenario) == (expected, 0)


def test_a_transaction_that_fails_leaves_nothing(run: Run, url: str) -> None:
    async def fails(sessions: async_sessionmaker[AsyncSession], number: int) -> None:
        async with sessions.begin() as session:
            session.add(Author(id=number, name="nobody"))
            await session.flush()
            raise ValueError(number)

    async def scenario() -> object:
        async with library(url) as engine:
            sessions = async_sessionmaker(engine)
            coros = [fails(sessions, number) if number % 2 else write(sessions, number) for number in range(AUTHORS)]
            endings = await asyncio.gather(*coros, return_exceptions=True)
            async with sessions() as session:
                left = (await session.scalars(select(Author.id).order_by(Author.id))).all()
            return [repr(ending) for ending in endings], left

    endings = [f"ValueError({number})" if number % 2 else "None" for number in range(AUTHORS)]
    assert run(scenario) == (endings, list(range(0, AUTHORS, 2)))


def test_a_streamed_result_beside_other_queries(run: Run, url: str) -> None:
    async def stream(engine: AsyncEngine) -> list[str]:
        async with engine.connect() as connection:
            return [row.title async for row in await connection.stream(select(Book.title).order_by(Book.title))]

    async def count(engine: AsyncEngine) -> int:
        async with engine.connect() as connection:
            return await connection.scalar(select(func.count()).select_from(Book)) or 0

    async def scenario() -> object:
        async with library(url) as engine:
            sessions = async_sessionmaker(engine)
            for number in range(AUTHORS):
                await write(sessions, number)
            return await asyncio.gather(*(each(engine) for each in (stream, count, stream, count)))

    titles = sorted(f"{number}.{part}" for number in range(AUTHORS) for part in range(BOOKS))
    assert run(scenario) == [titles, len(titles), titles, len(titles)]
