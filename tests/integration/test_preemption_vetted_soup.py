"""The constructor of BeautifulSoup is left in its middle where the program opted in, but no parser that may be shared."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import asyncio_pulse as pulse
from tests.support.loops import LoopFactory
from tests.support.preempting import AT_ONCE_US, WITHIN_S, preemptions, refused

bs4 = pytest.importorskip("bs4")
builders = pytest.importorskip("bs4.builder._htmlparser")

ROW = '<p class="a b" id=x{0}>Text <b>{0}</b> &amp; more<br></p><!-- {0} --><ul><li>one<li>two</ul>\n'

MARKUP = "<!DOCTYPE html><html><body>" + "".join(ROW.format(number) for number in range(300)) + "</body></html>"


def run(main: Any, loop_factory: LoopFactory) -> Any:
    # No package is named.
    return pulse.run(main, config=pulse.TierConfig(poll_budget_us=AT_ONCE_US), loop_factory=loop_factory)


async def parse() -> str:
    return str(bs4.BeautifulSoup(MARKUP, "html.parser"))


def test_the_constructor_is_left_and_makes_the_same(loop_factory: LoopFactory) -> None:
    async def main() -> int:
        # They are under construction at the same time.
        documents = await asyncio.gather(*(pulse.spawn(parse(), preemptible=True) for _ in range(3)))
        assert set(documents) == {expected}
        return preemptions()

    expected = asyncio.run(parse())
    assert run(main(), loop_factory) > 50


async def parse_with(builder: Any) -> str:
    return str(bs4.BeautifulSoup(MARKUP, builder=builder))


def test_the_constructor_is_not_left_if_its_builder_may_be_shared(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        builder = builders.HTMLParserTreeBuilder()
        documents = await asyncio.gather(*(pulse.spawn(parse_with(builder), preemptible=True) for _ in range(3)))
        assert set(documents) == {expected}
        assert refused("module") > 0
        # Each task may be left before it calls the constructor.
        assert preemptions() <= 3

    expected = asyncio.run(parse())
    run(main(), loop_factory)


def test_no_function_is_left_that_fills_a_document_of_its_caller(loop_factory: LoopFactory) -> None:
    """Such a function stands beneath others of the table, but none of them made the document."""

    async def fill(soup: Any, name: str) -> None:
        for number in range(3_000):
            soup.handle_starttag(name, None, None, {})
            soup.handle_data(f"{name}{number}")
            soup.handle_endtag(name)

    async def main() -> None:
        soup = bs4.BeautifulSoup("", "html.parser")
        end = time.perf_counter() + WITHIN_S
        while refused("module") < 10 and time.perf_counter() < end:
            await asyncio.gather(*(pulse.spawn(fill(soup, name), preemptible=True) for name in "ab"))
            wrong = [tag for tag in soup.find_all("a") if not tag.get_text().startswith("a")]
            assert not wrong
            soup.reset()
        assert refused("module") >= 10

    run(main(), loop_factory)
