"""Connection pools of three libraries, seen alike: pairs to read by key, and amounts to move between two places."""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import asyncpg
import redis.asyncio as redis
from sqlalchemy import event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

SIZE = 4
KEYS = 50
AMOUNT = 1000
WAIT_S = 30


def value_of(key: int) -> int:
    """What belongs to a key, and to no other."""
    return key * 7 + 1


class Connection(abc.ABC):
    """One connection, taken from its pool."""

    @abc.abstractmethod
    async def read(self, key: int) -> int:
        """Return the value that is kept for a key."""

    @abc.abstractmethod
    async def move(self) -> None:
        """Move one from the left to the right in a transaction."""

    @abc.abstractmethod
    async def total(self) -> int:
        """Add up left and right."""


Pool = Callable[[], AbstractAsyncContextManager[Connection]]

CREATE = [
    "DROP TABLE IF EXISTS pairs",
    "DROP TABLE IF EXISTS places",
    "CREATE TABLE pairs AS WITH RECURSIVE keys(key) AS "
    f"(SELECT 0 UNION ALL SELECT key + 1 FROM keys WHERE key < {KEYS - 1}) SELECT key, key * 7 + 1 AS value FROM keys",
    f"CREATE TABLE places AS SELECT 'left' AS name, {AMOUNT} AS amount UNION ALL SELECT 'right', {AMOUNT}",
]
READ = "SELECT value FROM pairs WHERE key = "
TAKE = "UPDATE places SET amount = amount - 1 WHERE name = 'left'"
GIVE = "UPDATE places SET amount = amount + 1 WHERE name = 'right'"
TOTAL = "SELECT sum(amount) FROM places"


class AsyncpgConnection(Connection):
    """Of asyncpg's own pool."""

    def __init__(self, connection: asyncpg.pool.PoolConnectionProxy) -> None:
        self._connection = connection

    async def read(self, key: int) -> int:
        return int(await self._connection.fetchval(READ + "$1", key))

    async def move(self) -> None:
        async with self._connection.transaction():
            await self._connection.execute(TAKE)
            await self._connection.execute(GIVE)

    async def total(self) -> int:
        return int(await self._connection.fetchval(TOTAL))


@asynccontextmanager
async def asyncpg_pool(url: str) -> AsyncIterator[Pool]:
    async with asyncpg.create_pool(url, min_size=0, max_size=SIZE) as pool:
        for statement in CREATE:
            await pool.execute(statement)

        @asynccontextmanager
        async def connected() -> AsyncIterator[Connection]:
            async with pool.acquire() as connection:
                yield AsyncpgConnection(connection)

        yield connected


class SqlalchemyConnection(Connection):
    """Of SQLAlchemy's pool, which is synchronous code that awaits in greenlets."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def read(self, key: int) -> int:
        return int(await self._connection.scalar(text(READ + ":key"), {"key": key}))

    async def move(self) -> None:
        async with self._connection.begin():
            await self._connection.execute(text(TAKE))
            await self._connection.execute(text(GIVE))

    async def total(self) -> int:
        return int(await self._connection.scalar(text(TOTAL)))


def keep_readers_from_waiting(connection: DBAPIConnection, _: object) -> None:
    """Let them read while somebody writes; and let nobody wait for the disk."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = OFF")
    cursor.close()


@asynccontextmanager
async def sqlalchemy_pool(url: str) -> AsyncIterator[Pool]:
    engine = create_async_engine(url, pool_size=SIZE, max_overflow=0, pool_timeout=WAIT_S)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", keep_readers_from_waiting)
    try:
        async with engine.begin() as connection:
            for statement in CREATE:
                await connection.execute(text(statement))

        @asynccontextmanager
        async def connected() -> AsyncIterator[Connection]:
            async with engine.connect() as connection:
                yield SqlalchemyConnection(connection)

        yield connected
    finally:
        await engine.dispose()


class RedisConnection(Connection):
    """A pipeline that watches a key, and therefore has one connection of its pool for itself."""

    def __init__(self, pipeline: redis.client.Pipeline) -> None:
        self._pipeline = pipeline

    async def read(self, key: int) -> int:
        return int(await self._pipeline.get(f"pair:{key}"))

    async def move(self) -> None:
        self._pipeline.multi()
        self._pipeline.decr("left").incr("right")
        await self._pipeline.execute()

    async def total(self) -> int:
        return sum(int(amount) for amount in await self._pipeline.mget("left", "right"))


@asynccontextmanager
async def redis_pool(url: str) -> AsyncIterator[Pool]:
    pool = redis.BlockingConnectionPool.from_url(url, max_connections=SIZE, timeout=WAIT_S)
    client = redis.Redis(connection_pool=pool)
    try:
        await client.flushdb()
        await client.mset({"left": AMOUNT, "right": AMOUNT})
        await client.mset({f"pair:{key}": value_of(key) for key in range(KEYS)})

        @asynccontextmanager
        async def connected() -> AsyncIterator[Connection]:
            async with client.pipeline() as pipeline:
                await pipeline.watch("never written")
                yield RedisConnection(pipeline)

        yield connected
    finally:
        await client.aclose()
        await pool.aclose()
