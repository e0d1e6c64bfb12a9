"""Large answers of graphql-core are left in their middle by default, unless a resolver or a mutation is under way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

import asyncio_pulse as pulse
from tests.support.loops import LoopFactory
from tests.support.preempting import asking_as_for_programs, beside_a_heartbeat, preemptions

graphql = pytest.importorskip("graphql")

ROWS = 4_000

QUERY = "{ items { id text name tags } }"

Counts = list[int]
"""How many preemptions there were when a part of an answer began, and when it ended."""


@pytest.fixture(autouse=True)
def _as_for_programs() -> Iterator[None]:
    with asking_as_for_programs():
        yield


async def name_of(row: dict[str, Any], _: object) -> str:
    return f"name {row['id']}"


def text_of(row: dict[str, Any], _: object) -> str:
    return str(row["text"])


def rows(*_: object) -> list[dict[str, Any]]:
    return [{"id": number, "text": "x" * 20, "tags": ["a", "b", str(number)]} for number in range(ROWS)]


async def rows_later(*_: object) -> list[dict[str, Any]]:
    await asyncio.sleep(0.01)
    return rows()


def fields_of(items: Callable[..., object]) -> dict[str, Any]:
    item = graphql.GraphQLObjectType(
        "Item",
        {
            "id": graphql.GraphQLField(graphql.GraphQLNonNull(graphql.GraphQLInt)),
            "text": graphql.GraphQLField(graphql.GraphQLString, resolve=text_of),
            "name": graphql.GraphQLField(graphql.GraphQLString, resolve=name_of),
            "tags": graphql.GraphQLField(graphql.GraphQLList(graphql.GraphQLString)),
        },
    )
    return {"items": graphql.GraphQLField(graphql.GraphQLList(item), resolve=items)}


def schema_of(items: Callable[..., object]) -> Any:
    return graphql.GraphQLSchema(graphql.GraphQLObjectType("Query", fields_of(items)))


async def answer(schema: Any, query: str = QUERY) -> Any:
    result = await graphql.graphql(schema, query)
    assert not result.errors
    return result.data


@pytest.mark.timing
@pytest.mark.parametrize("modules", [(), ("graphql",)], ids=["", "named"])
@pytest.mark.parametrize("items", [rows, rows_later])
def test_a_large_answer_is_left_while_it_is_completed(
    items: Callable[..., object], modules: tuple[str, ...], loop_factory: LoopFactory
) -> None:
    """Also if the package is named: a name takes nothing away."""

    async def main() -> None:
        # The first one is looked at only some time after it began.
        suspended = 0
        for _ in range(4):
            data, _, count = await beside_a_heartbeat(answer(schema_of(items)))
            suspended += count
            assert data == expected
        assert suspended > 3

    expected = asyncio.run(answer(schema_of(items)))
    assert len(expected["items"]) == ROWS
    pulse.run(main(), config=pulse.TierConfig(preemptible_modules=modules), loop_factory=loop_factory)


def nested_in_a_resolver() -> tuple[Coroutine[Any, Any, object], Counts]:
    schema = schema_of(rows)
    counts: Counts = []

    def execute(*_: object) -> int:
        counts.append(preemptions())
        # This resolver's own query: its engine's frames stand above the resolver.
        answered = graphql.graphql_sync(schema, "{ items { id text } }").data["items"]
        counts.append(preemptions())
        return len(answered)

    field = graphql.GraphQLField(graphql.GraphQLInt, resolve=execute)
    return answer(graphql.GraphQLSchema(graphql.GraphQLObjectType("Query", {"count": field})), "{ count }"), counts


def mutation() -> tuple[Coroutine[Any, Any, object], Counts]:
    counts: Counts = []

    def add(*_: object) -> list[dict[str, Any]]:
        counts.append(preemptions())
        return rows()

    def end(*_: object) -> int:
        counts.append(preemptions())
        return 0

    fields = {**fields_of(add), "last": graphql.GraphQLField(graphql.GraphQLInt, resolve=end)}
    schema = graphql.GraphQLSchema(
        graphql.GraphQLObjectType("Query", {"one": graphql.GraphQLField(graphql.GraphQLInt)}),
        graphql.GraphQLObjectType("Mutation", fields),
    )
    return answer(schema, "mutation { items { id text tags } last }"), counts


@pytest.mark.parametrize("work", [nested_in_a_resolver, mutation])
def test_neither_a_resolver_nor_a_mutation_is_left(
    work: Callable[[], tuple[Coroutine[Any, Any, object], Counts]], loop_factory: LoopFactory
) -> None:
    """Before and after them the engine parses and validates, and may be left."""

    async def main() -> None:
        end = time.perf_counter() + 0.5
        while time.perf_counter() < end:
            query, counts = work()
            await asyncio.create_task(query)
            assert len(counts) == 2
            assert counts[0] == counts[1]
        assert pulse.get_manager().governor.preemption_record()["gave_up"] > 0

    pulse.run(main(), loop_factory=loop_factory)
