"""redis-py: pipelines, transactions, locks, blocking reads and publishing on one small pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio as redis

from tests.thirdparty.conftest import Run


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[redis.Redis]:
    pool = redis.BlockingConnectionPool.from_url(url, max_connections=4, timeout=30, decode_responses=True)
    client = redis.Redis(connection_pool=pool)
    try:
        await client.flushdb()
        yield client
    finally:
        await client.aclose()
        await pool.aclose()


def test_each_answer_belongs_to_its_question(run: Run, redis_url: str) -> None:
    async def ask(client: redis.Redis, number: int) -> list[str]:
        async with client.pipeline(transaction=number % 2 == 0) as pipeline:
            pipeline.set(f"key:{number}", number).get(f"key:{number}").incr("total")
            answers = await pipeline.execute()
        return [answers[1], await client.get(f"key:{number}")]

    async def scenario() -> object:
        async with connected(redis_url) as client:
            answers = await asyncio.gather(*(ask(client, number) for number in range(20)))
            return answers, await client.get("total")

    assert run(scenario) == ([[str(number)] * 2 for number in range(20)], "20")


def test_optimistic_and_pessimistic_counters(run: Run, redis_url: str) -> None:
    async def watch(client: redis.Redis) -> None:
        async with client.pipeline() as pipeline:
            while True:
                try:
                    await pipeline.watch("watched")
                    value = int(await pipeline.get("watched") or 0)
                    pipeline.multi()
                    pipeline.set("watched", value + 1)
                    await pipeline.execute()
                    return
                except redis.WatchError:
                    continue

    async def lock(client: redis.Redis) -> None:
        async with client.lock("lock", timeout=30, sleep=0.001):
            value = int(await client.get("locked") or 0)
            await asyncio.sleep(0)
            await client.set("locked", value + 1)

    async def scenario() -> object:
        async with connected(redis_url) as client:
            await asyncio.gather(*(each(client) for each in (watch, lock) for _ in range(6)))
            return await client.mget("watched", "locked")

    assert run(scenario) == ["6", "6"]


def test_blocking_reads_and_messages(run: Run, redis_url: str) -> None:
    async def consume(client: redis.Redis) -> list[str]:
        return [(await client.blpop(["jobs"], timeout=30))[1] for _ in range(10)]

    async def listen(client: redis.Redis, ready: asyncio.Event) -> list[str]:
        async with client.pubsub() as pubsub:
            await pubsub.subscribe("news")
            heard: list[str] = []
            async for message in pubsub.listen():
                if message["type"] == "subscribe":
                    ready.set()
                else:
                    heard.append(message["data"])
                if len(heard) == 10:
                    return heard
        raise AssertionError("the channel ended")

    async def scenario() -> object:
        async with connected(redis_url) as client, asyncio.TaskGroup() as group:
            ready = asyncio.Event()
            consumer, listener = group.create_task(consume(client)), group.create_task(listen(client, ready))
            await ready.wait()
            for number in range(10):
                await client.rpush("jobs", number)
                await client.publish("news", number)
            return await consumer, await listener

    numbers = [str(number) for number in range(10)]
    assert run(scenario) == (numbers, numbers)
