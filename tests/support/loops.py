"""Names of the types of loops, of what makes them, and of what runs a function on one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

Loop = asyncio.AbstractEventLoop
LoopFactory = Callable[[], Loop]
Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
