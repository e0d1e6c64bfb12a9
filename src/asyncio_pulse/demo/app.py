"""A FastAPI service with one light route, and a heavy one that starves it.

The heavy route computes first, in functions of its own. Then FastAPI converts the answer to plain JSON values with
`jsonable_encoder`, the case of fastapi issue 1224. Both run on the event loop and without an `await`. Together they take
hundreds of milliseconds, and every other request waits for them.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel

__all__ = ["CUSTOMERS_VARIABLE", "app", "bought_together", "build_customers", "customers_taking"]

CUSTOMERS_VARIABLE = "ASYNCIO_PULSE_DEMO_CUSTOMERS"
"""Environment variable: number of customers in `/report`."""


class Line(BaseModel):
    """One article of an order."""

    article: str
    quantity: int
    price: Decimal


class Order(BaseModel):
    """One purchase of a customer."""

    identity: UUID
    placed: datetime
    lines: list[Line]


class Customer(BaseModel):
    """A customer with all orders."""

    name: str
    since: date
    orders: list[Order]


def build_customers(count: int) -> list[Customer]:
    """Build `count` customers with 4 orders of 8 lines each, the same in every run."""
    epoch = datetime(2020, 1, 1, tzinfo=UTC)

    def order(number: int) -> Order:
        price = Decimal(number % 9973) / 100
        lines = [Line(article=f"article {number % 997}", quantity=quantity, price=price) for quantity in range(1, 9)]
        return Order(identity=UUID(int=number), placed=epoch + timedelta(minutes=number), lines=lines)

    return [
        Customer(
            name=f"customer {number}",
            since=date(2020, 1, 1) + timedelta(days=number % 1000),
            orders=[order(4 * number + position) for position in range(4)],
        )
        for number in range(count)
    ]


def bought_together(customers: Sequence[Customer]) -> dict[str, int]:
    """Return the ten pairs of articles that customers bought most pieces of, with these pieces."""
    pieces: Counter[tuple[str, str]] = Counter()
    for customer in customers:
        lines = [line for order in customer.orders for line in order.lines]
        for number, first in enumerate(lines):
            for second in lines[:number]:
                pair = (min(first.article, second.article), max(first.article, second.article))
                pieces[pair] += min(first.quantity, second.quantity)
    return {" and ".join(pair): count for pair, count in pieces.most_common(10)}


def build_report(customers: Sequence[Customer]) -> dict[str, Any]:
    """Build the answer of `/report`, in plain Python."""
    return {"bought_together": bought_together(customers), "customers": list(customers)}


def customers_taking(milliseconds: float) -> int:
    """Return the number of customers, at least 1, for which one `/report` takes about this much CPU time here."""
    # A small report fits into the processor's caches and costs less per customer than a report of the wanted size. The
    # first estimate is therefore measured, and corrected once.
    customers = 50
    for _ in range(2):
        customers = max(1, round(customers * milliseconds / _answer_ms(customers)))
    return customers


def _answer_ms(count: int) -> float:
    customers = build_customers(count)
    costs_ns = []
    for _ in range(3):
        started_ns = time.process_time_ns()
        JSONResponse(jsonable_encoder(build_report(customers)))
        costs_ns.append(time.process_time_ns() - started_ns)
    return min(costs_ns) / 1e6


app = FastAPI(title="asyncio-pulse demo")
all_customers = build_customers(int(os.environ.get(CUSTOMERS_VARIABLE, "1")))


@app.get("/ping")
async def ping() -> dict[str, str]:
    """Answer at once."""
    return {"answer": "pong"}


# Without a response model FastAPI encodes the answer with jsonable_encoder. With one, pydantic writes the bytes itself.
@app.get("/report", response_model=None)
async def report() -> dict[str, Any]:
    """Answer with every customer."""
    # The list belongs to this request, so the task may be suspended while FastAPI reads it.
    return build_report(all_customers)
