"""FastAPI's jsonable_encoder over a large nested response."""

from typing import Any

from fastapi.encoders import jsonable_encoder

CLASS = "on-cpu"
RESPONSE: dict[str, Any] = {
    "rows": [{"id": n, "tags": ["a", "b"], "owner": {"name": "x", "level": n}} for n in range(45_000)]
}


async def culprit() -> None:
    jsonable_encoder(RESPONSE)  # <- here
