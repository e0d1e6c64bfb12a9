"""The demo behind `asyncio-pulse demo`: a real web service, its starvation, and the report that names the cause."""

from __future__ import annotations

from .command import main

__all__ = ["main"]
