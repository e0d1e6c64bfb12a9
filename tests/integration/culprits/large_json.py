"""Some 50 MB of JSON made at once: C code that keeps the GIL."""

import json

CLASS = "on-cpu"
DOCUMENT: list[dict[str, str]] = []


def prepare() -> None:
    DOCUMENT.extend({"name": "x" * 40, "value": str(number)} for number in range(700_000))


async def culprit() -> None:
    json.dumps(DOCUMENT)  # <- here
