"""`markdown.markdown` is left in its middle where the program opted in, but nothing that may be shared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import asyncio_pulse as pulse
from tests.support.loops import LoopFactory
from tests.support.preempting import AT_ONCE_US, preemptions, refused

markdown = pytest.importorskip("markdown")
tables = pytest.importorskip("markdown.extensions.tables")

TEXT = "\n".join(
    f"# Title {number}\n\nText with *emphasis* and [a link](http://example.org/{number}).\n\n"
    f"* one\n* **two** `code`\n\n> quoted\n\n| a | b |\n|---|---|\n| {number} | x |\n"
    for number in range(60)
)


def run(main: Any, loop_factory: LoopFactory) -> Any:
    # No package is named.
    return pulse.run(main, config=pulse.TierConfig(poll_budget_us=AT_ONCE_US), loop_factory=loop_factory)


def with_its_own_converter() -> Callable[[], str]:
    return lambda: str(markdown.markdown(TEXT, extensions=["tables"]))


def with_a_shared_converter() -> Callable[[], str]:
    converter = markdown.Markdown(extensions=["tables"])
    return lambda: str(converter.convert(TEXT))


def with_a_shared_extension() -> Callable[[], str]:
    extension = tables.TableExtension()
    return lambda: str(markdown.markdown(TEXT, extensions=[extension]))


async def convert_at_once(convert: Callable[[], str]) -> None:
    async def work() -> str:
        return convert()

    texts = await asyncio.gather(*(pulse.spawn(work(), preemptible=True) for _ in range(3)))
    assert set(texts) == {with_its_own_converter()()}


def test_a_conversion_is_left_and_makes_the_same(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        await convert_at_once(with_its_own_converter())
        assert preemptions() > 50

    run(main(), loop_factory)


@pytest.mark.parametrize("make", [with_a_shared_converter, with_a_shared_extension])
def test_nothing_is_left_that_may_be_shared(make: Callable[[], Callable[[], str]], loop_factory: LoopFactory) -> None:
    async def main() -> None:
        await convert_at_once(make())
        assert refused("module") > 0
        # Each task may be left at the start of two functions of its own.
        assert preemptions() <= 6

    run(main(), loop_factory)
