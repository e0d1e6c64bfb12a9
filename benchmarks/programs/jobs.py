"""A queue worker with jobs of one kind. Each job computes in pure Python in one step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["JOBS", "work_off"]

JOB_COUNT = 40
PAUSE_S = 0.02


def loop() -> int:
    """Run a tight loop."""
    total = 0
    for number in range(400_000):
        total = (total * 31 + number) % 1_000_003
    return total


def calls(depth: int = 26) -> int:
    """Call functions from functions, 390,000 times."""
    return depth if depth < 2 else calls(depth - 1) + calls(depth - 2)


def comprehensions() -> int:
    """Build lists, sets, dictionaries and generators."""
    rows = [[row * column % 97 for column in range(300)] for row in range(300)]
    distinct = {value for row in rows for value in row if value % 3}
    positions = {(index, value): index ^ value for index, row in enumerate(rows) for value in row}
    return sum(value for row in rows for value in row) + len(distinct) + len(positions)


TEXT = '{"name": "row", "values": [1, 22, 333, -4.5], "nested": {"flag": true, "none": null}, "text": "a b c"}' * 1_000


def parser() -> int:
    """Tokenise text, one character after the other."""
    tokens: list[str] = []
    position = 0
    while position < len(TEXT):
        character = TEXT[position]
        end = position + 1
        if character == '"':
            while TEXT[end] != '"':
                end += 1
            end += 1
            tokens.append(TEXT[position:end])
        elif character.isalnum() or character == "-":
            while end < len(TEXT) and (TEXT[end].isalnum() or TEXT[end] == "."):
                end += 1
            tokens.append(TEXT[position:end])
        elif character in "{}[],:":
            tokens.append(character)
        position = end
    depth = 0
    for token in tokens:
        depth += (token in "{[") - (token in "}]")
    return depth + len(tokens)


JOBS: tuple[Callable[[], int], ...] = (loop, calls, comprehensions, parser)


async def _worker(queue: asyncio.Queue[Callable[[], int]]) -> None:
    while True:
        job = await queue.get()
        job()
        queue.task_done()


async def work_off(job: Callable[[], int], count: int = JOB_COUNT) -> None:
    """Put each job into a queue, a short while after the job before it was done, and wait for the worker."""
    queue: asyncio.Queue[Callable[[], int]] = asyncio.Queue()
    worker = asyncio.create_task(_worker(queue))
    for _ in range(count):
        queue.put_nowait(job)
        await queue.join()
        await asyncio.sleep(PAUSE_S)
    worker.cancel()
