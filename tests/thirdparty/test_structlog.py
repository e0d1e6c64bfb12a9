"""structlog: context variables of concurrent requests, and its asynchronous loggers."""

from __future__ import annotations

import asyncio

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars, merge_contextvars

from tests.thirdparty.conftest import Run


def test_each_line_has_the_variables_of_its_own_request(run: Run) -> None:
    lines = structlog.testing.LogCapture()
    log = structlog.wrap_logger(
        structlog.PrintLogger(),
        processors=[merge_contextvars, lines],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )

    async def part(number: int) -> None:
        with bound_contextvars(part=number):
            await log.ainfo("part", expected=number)

    async def request(number: int) -> None:
        bind_contextvars(request=number)
        for _ in range(3):
            await asyncio.gather(part(number), part(number))
            await log.ainfo("whole", expected=number)

    async def scenario() -> object:
        lines.entries.clear()
        await asyncio.gather(*(request(number) for number in range(5)))
        mixed = [line for line in lines.entries if line["request"] != line["expected"]]
        mixed += [line for line in lines.entries if line.get("part", line["expected"]) != line["expected"]]
        return mixed, sum("part" in line for line in lines.entries), len(lines.entries)

    assert run(scenario) == ([], 30, 45)
