"""aiofiles: each operation in a thread, whose result must come back to who asked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiofiles

from tests.thirdparty.conftest import Run


def test_files_written_and_read_at_once(run: Run, tmp_path: Path) -> None:
    async def copy(number: int) -> list[str]:
        path = tmp_path / str(number)
        async with aiofiles.open(path, "w") as file:
            for line in range(10):
                await file.write(f"{number}.{line}\n")
        async with aiofiles.open(path) as file:
            return [line.strip() async for line in file]

    async def scenario() -> object:
        return await asyncio.gather(*(copy(number) for number in range(6)))

    assert run(scenario) == [[f"{number}.{line}" for line in range(10)] for number in range(6)]
