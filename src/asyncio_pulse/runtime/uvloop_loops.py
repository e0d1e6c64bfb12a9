"""The only module that imports uvloop."""

from __future__ import annotations

import asyncio

from asyncio_pulse.errors import UnavailableError

__all__ = ["libuv_of", "new_loop"]


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a new uvloop loop.

    Raises:
        UnavailableError: uvloop is not installed.
    """
    try:
        import uvloop
    except ImportError as error:
        raise UnavailableError("uvloop is not installed; install it with: pip install asyncio-pulse[uvloop]") from error
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def libuv_of(loop: asyncio.AbstractEventLoop) -> tuple[str | None, object]:
    """Return uvloop's library and native loop, which knows its idle time; None and None for another kind of loop."""
    if not any(base.__module__.startswith("uvloop") for base in type(loop).__mro__):
        return None, None
    import uvloop.loop

    # Cython exports this for users of its C interface, and uvloop's type stubs omit it.
    return uvloop.loop.__file__, uvloop.loop.libuv_get_loop_t_ptr(loop)  # type: ignore[attr-defined]
