"""Authors and their books in a database, by way of SQLAlchemy's sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import ForeignKey
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

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
