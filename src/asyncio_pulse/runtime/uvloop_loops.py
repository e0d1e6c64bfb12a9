"""All that needs uvloop."""

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
    """The library of uvloop and its native loop, which knows how long it idled; None and None for another kind of loop."""
    if not any(base.__module__.startswith("uvloop") for base in type(loop).__mro__):
        return None, None
    import uvloop.loop

    # Cython gives it to users of its C interface, and its type stubs leave it out.
    return uvloop.loop.__file__, uvloop.loop.libuv_get_loop_t_ptr(loop)  # type: ignore[attr-defined]
