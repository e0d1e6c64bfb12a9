"""SQLAlchemy: a synchronous core in greenlets, on SQLite and PostgreSQL, over a pool smaller than the demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from tests.thirdparty.conftest import Run

AUTHORS = 8
BOOKS = 3


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    books: Mapped[list[Book]] = relationship(order_by="Book.id")


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    title: Mapped[str]


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('sqlite') / 'library.db'}?timeout=30"
    return f"postgresql+asyncpg://{request.getfixturevalue('postgres')}"


@asynccontextmanager
async def library(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(url, pool_size=3, max_overflow=0)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
        yield engine
    finally:
        await engine.dispose()


async def write(sessions: async_sessionmaker[AsyncSession], number: int) -> None:
    async with sessions.begin() as session:
        author = Author(id=number, name=f"author {number}")
        session.add(author)
        await session.flush()
        session.add_all(Book(author_id=number, title=f"{number}.{part}") for part in range(BOOKS))


async def titles_of(sessions: async_sessionmaker[AsyncSession], number: int) -> list[str]:
    async with sessions() as session:
        author = await session.get_one(Author, number)
        # A lazy load: an attribute awaits the database.
        return [book.title for book in await author.awaitable_attrs.books]


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
