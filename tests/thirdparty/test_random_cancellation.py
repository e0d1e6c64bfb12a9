"""Queries cancelled at random, promoted and demoted under way: no connection is lost, no answer is another question's."""

from __future__ import annotations

import asyncio
import collections
import functools
import os
import random
import time
from contextlib import AbstractAsyncContextManager

import pytest

import asyncio_pulse as pulse
from asyncio_pulse.config import InterventionAction, TierConfig, TierPolicyBuilder
from tests.support.loops import LoopFactory
from tests.thirdparty.pools import AMOUNT, KEYS, SIZE, WAIT_S, Pool, asyncpg_pool, redis_pool, sqlalchemy_pool, value_of
from tests.thirdparty.ways import ENDINGS, WAYS, Way

OPERATIONS = int(os.environ.get("ASYNCIO_PULSE_TEST_OPERATIONS", "200"))
"""Of each pool, in each way; `make test-thirdparty` asks for ten thousand."""

CLIENTS = 10
PHASE = 50
"""Operations that compute, then as many that do not: accounts go up, and down again."""


def restless_tier(action: InterventionAction) -> pulse.TierPolicy:
    """Go up after one bad poll, down after a few good ones."""
    builder = TierPolicyBuilder(action)
    if action is not InterventionAction.ISOLATE:
        builder = builder.promotion_violations(1)
    return builder.demotion_good_polls(3).demotion_min_duration_ms(10).demotion_evaluation_interval(1).build()


RESTLESS = TierConfig(
    poll_budget_us=300,
    promotion_window_ms=10,
    promotion_share=0.0,
    promotion_hysteresis_ms=0,
    demotion_hysteresis_ms=0,
    violation_rate_threshold=100_000,
    freeze_min_groups=65_536,
    tier_policies=tuple(restless_tier(action) for action in InterventionAction),
)


def compute(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pulse.governed(group="queries")
async def query(pool: Pool, number: int) -> bool:
    """Read or write, and tell whether the answer was right."""
    key = number % KEYS
    async with pool() as connection:
        if number // PHASE % 2 == 0:
            compute(0.001)
        if number % 3 == 0:
            await connection.move()
            return True
        return await connection.read(key) == value_of(key)


async def cancel_at_random(task: asyncio.Task[bool], chance: random.Random) -> bool:
    """Give it some turns of the loop, or some time; half of them as long as they want. Tell whether it was cancelled."""
    was_cancelled = False
    if chance.random() < 0.5:
        for _ in range(chance.randrange(20)):
            await asyncio.sleep(0)
        if chance.random() < 0.5:
            await asyncio.sleep(chance.random() * 0.005)
        was_cancelled = task.cancel()
    await asyncio.wait([task])
    return was_cancelled


async def client(pool: Pool, numbers: range, endings: collections.Counter[str]) -> None:
    chance = random.Random(numbers.start)
    for number in numbers:
        task = asyncio.create_task(query(pool, number))
        was_cancelled = await cancel_at_random(task, chance)
        if was_cancelled:
            endings["cancelled" if task.cancelled() else "not heeded"] += 1
        else:
            endings["right" if task.result() else "wrong"] += 1


async def use_whole_pool(pool: Pool) -> int:
    """Hold as many connections at once as the pool has: that hangs if one was lost. Count those that answer."""
    all_held = asyncio.Barrier(SIZE)

    async def hold() -> bool:
        async with pool() as connection:
            await all_held.wait()
            return await connection.total() == 2 * AMOUNT and await connection.read(5) == value_of(5)

    async with asyncio.timeout(20):
        return sum(await asyncio.gather(*(hold() for _ in range(SIZE))))


Opening = functools.partial[AbstractAsyncContextManager[Pool]]


@pytest.fixture(scope="session", params=["asyncpg", "sqlalchemy-asyncpg", "sqlalchemy-aiosqlite", "redis"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opening:
    """Open the pool of each library."""
    if request.param == "redis":
        return functools.partial(redis_pool, request.getfixturevalue("redis_url"))
    if request.param == "sqlalchemy-aiosqlite":
        file = tmp_path_factory.mktemp("sqlite") / "pairs.db"
        return functools.partial(sqlalchemy_pool, f"sqlite+aiosqlite:///{file}?timeout={WAIT_S}")
    address = request.getfixturevalue("postgres")
    if request.param == "asyncpg":
        return functools.partial(asyncpg_pool, f"postgresql://{address}")
    return functools.partial(sqlalchemy_pool, f"postgresql+asyncpg://{address}")


@pytest.mark.parametrize("way", WAYS[:4], ids=str)
def test_pools_survive_random_cancellation(way: Way, loop_factory: LoopFactory, opened: Opening) -> None:
    async def scenario() -> tuple[collections.Counter[str], int]:
        endings: collections.Counter[str] = collections.Counter()
        async with opened() as pool:
            await asyncio.gather(
                *(client(pool, range(first, OPERATIONS, CLIENTS), endings) for first in range(CLIENTS))
            )
            return endings, await use_whole_pool(pool)

    (endings, usable), manager = way.run(loop_factory, scenario, RESTLESS, timeout_s=60 + OPERATIONS * 0.05)
    ENDINGS.update(endings)
    assert usable == SIZE
    assert endings["wrong"] == 0
    # redis-py 8.1 swallows a cancellation that meets a pipeline which gives its connection back, governed or not.
    assert endings["not heeded"] == 0 or opened.func is redis_pool
    assert min(endings["right"], endings["cancelled"]) > OPERATIONS / 20
    if manager is not None:
        steps = [change.after - change.before for change in manager.audit() if change.group == "queries"]
        assert {1, -1} <= set(steps), "nobody was promoted and demoted"
        assert any(change.after >= InterventionAction.YIELD for change in manager.audit())
        assert manager.governor.slow_queue()["parked"] > 0
