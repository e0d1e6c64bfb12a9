"""Who speaks in a log record: services have many processes, and collectors of logs keep only the text."""

from __future__ import annotations

import os

__all__ = ["origin_of"]


def origin_of(worker_id: int | None = None) -> str:
    """Name this process, and a worker of it where one is concerned, for the beginning of a log record."""
    worker = "" if worker_id is None else f" worker {worker_id}"
    return f"asyncio-pulse pid {os.getpid()}{worker}"
