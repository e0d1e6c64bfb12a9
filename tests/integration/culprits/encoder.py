"""FastAPI's jsonable_encoder over a large nested response."""

import gc
from typing import Any

from fastapi.encoders import jsonable_encoder

# What it makes is large, and to collect it again and again would be another cause.
gc.disable()

CLASS = "on-cpu"
RESPONSE: dict[str, Any] = {
    "rows": [{"id": n, "tags": ["a", "b"], "owner": {"name": "x", "level": n}} for n in range(45_000)]
}


async def culprit() -> None:
    jsonable_encoder(RESPONSE)  # <- here
