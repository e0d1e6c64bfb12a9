"""Consumers and schedulers: the groups of their tasks say what they are."""

from __future__ import annotations

import asyncio
import datetime
import importlib
import inspect
import warnings
from typing import Any

import arq
import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from arq.connections import RedisSettings

import asyncio_pulse as pulse
from asyncio_pulse.policy.group_names import KNOWN_TASKS
from tests.support.loops import LoopFactory

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports audioop
    import discord
    from discord.ext import tasks


def groups() -> set[str]:
    return {group.name for group in pulse.get_manager().report().groups}


@pytest.mark.parametrize("name", KNOWN_TASKS)
def test_a_known_task_is_a_coroutine_function_of_its_module(name: str) -> None:
    module_name, _ = KNOWN_TASKS[name]
    owner, _, attribute = name.rpartition(".")
    if attribute.startswith("__"):
        attribute = f"_{owner}{attribute}"
    module = importlib.import_module(module_name)
    function = inspect.unwrap(getattr(getattr(module, owner) if owner else module, attribute))
    assert inspect.iscoroutinefunction(function)
    assert (function.__module__, function.__qualname__) == (module_name, name)


def test_a_job_of_apscheduler_is_its_function(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        done = asyncio.Event()

        async def send_letters() -> None:
            await asyncio.sleep(0)
            done.set()

        scheduler = AsyncIOScheduler(timezone=datetime.UTC)
        scheduler.add_job(send_letters, "date")
        scheduler.start()
        await done.wait()
        scheduler.shutdown()
        assert send_letters.__qualname__ in groups()
        assert "run_coroutine_job" not in groups()

    pulse.run(main(), loop_factory=loop_factory)


def test_an_event_and_a_loop_of_discord_are_their_functions(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        greeted, swept = asyncio.Event(), asyncio.Event()

        class Bot(discord.Client):
            async def on_greeting(self, name: str) -> None:
                greeted.set()

        @tasks.loop(count=1)
        async def sweep() -> None:
            swept.set()

        async with Bot(intents=discord.Intents.none()) as bot:
            bot.dispatch("greeting", "hello")
            await sweep.start()
            await asyncio.gather(greeted.wait(), swept.wait())
        found = groups()
        assert {Bot.on_greeting.__qualname__, sweep.coro.__qualname__} <= found
        assert not {"Client._run_event", "Loop._loop"} & found

    pulse.run(main(), loop_factory=loop_factory)


async def add(context: dict[Any, Any], a: int, b: int) -> int:
    return a + b


@pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")  # by the worker itself
def test_a_worker_of_arq_and_its_jobs(redis_url: str, loop_factory: LoopFactory) -> None:
    async def main() -> None:
        settings = RedisSettings.from_dsn(redis_url)
        pool = await arq.create_pool(settings)
        job = await pool.enqueue_job("add", 1, 2)
        worker = arq.Worker([add], redis_settings=settings, burst=True, handle_signals=False, poll_delay=0.01)
        await worker.async_run()
        assert job is not None
        assert await job.result(timeout=30) == 3
        await worker.close()
        await pool.aclose()
        assert {"arq worker", "arq jobs", "add"} <= groups()

    pulse.run(main(), loop_factory=loop_factory)
