"""The origin of a log record: services have many processes, and log collectors keep only the text."""

from __future__ import annotations

import os

__all__ = ["origin_of"]


def origin_of(worker_id: int | None = None) -> str:
    """Return the prefix of a log record: this process, and the worker if one is concerned."""
    worker = "" if worker_id is None else f" worker {worker_id}"
    return f"asyncio-pulse pid {os.getpid()}{worker}"
