"""A Python function applied to each row of a data frame: pandas makes an object of every row."""

import pandas

CLASS = "on-cpu"
ORDERS = pandas.DataFrame({"price": range(120_000), "count": 3})


def total(order: "pandas.Series[int]") -> int:
    return order["price"] * order["count"]


async def culprit() -> None:
    ORDERS.apply(total, axis="columns")  # <- here
