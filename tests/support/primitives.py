"""A program of asyncio's own primitives that notices when one of them breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator


def some_work() -> Iterator[int]:
    yield from range(10)


class Primitives:
    """What several tasks share; each calls `work` again and again."""

    SIZE = 3
    ITEMS = 5

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[int, int]] = asyncio.Queue(self.SIZE)
        self.lock = asyncio.Lock()
        self.semaphore = asyncio.BoundedSemaphore(self.SIZE)
        self.condition = asyncio.Condition()
        self.event = asyncio.Event()
        self.locked = self.entered = self.turns = 0
        self.put = self.got = 0

    async def work(self) -> None:
        """Use each of them once.

        Raises:
            AssertionError: One of them let somebody in who had to wait, lost or doubled something.
        """
        await asyncio.gather(self.produce(), self.consume())
        await self.in_turn()
        await self.among_few()
        await self.told()
        await self.signalled()

    async def produce(self) -> None:
        for _ in range(self.ITEMS):
            self.put += 1
            await self.queue.put((self.put, sum(some_work())))

    async def consume(self) -> None:
        for _ in range(self.ITEMS):
            assert self.queue.qsize() <= self.SIZE
            _, total = await self.queue.get()
            assert total == 45
            self.got += 1
            assert self.got <= self.put
            self.queue.task_done()

    async def in_turn(self) -> None:
        async with self.lock:
            self.locked += 1
            assert self.locked == 1
            for _ in some_work():
                assert self.locked == 1
            await asyncio.sleep(0)
            assert self.locked == 1
            self.locked -= 1

    async def among_few(self) -> None:
        async with self.semaphore:
            self.entered += 1
            for _ in some_work():
                assert 1 <= self.entered <= self.SIZE
            await asyncio.sleep(0)
            self.entered -= 1

    async def told(self) -> None:
        async with self.condition:
            self.turns += 1
            self.condition.notify_all()
            enough = self.turns
            await self.condition.wait_for(lambda: self.turns >= enough)

    async def signalled(self) -> None:
        waiting = asyncio.ensure_future(self.event.wait())
        while not waiting.done():
            # Another task may clear it again before it is seen.
            self.event.set()
            await asyncio.sleep(0)
        assert await waiting
        self.event.clear()

    def check_end(self) -> None:
        """After the last `work`: nothing is left over.

        Raises:
            AssertionError: Something is.
        """
        assert self.put == self.got > 0
        assert self.queue.empty()
        assert (self.locked, self.entered) == (0, 0)
        assert not self.lock.locked()
        assert self.semaphore._value == self.SIZE
