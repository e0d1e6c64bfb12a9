"""A pattern that backtracks without end: C code that keeps the GIL."""

import re

CLASS = "on-cpu"
KEEPS_THE_GIL = True
PATTERN = re.compile(r"(a+)+b")


async def culprit() -> None:
    PATTERN.match("a" * 24)  # <- here
