"""Wraps the applications of known servers, so that a program without a line of ours has a group for each route.

Each entry of `RECOGNISED` is a module, and a function that changes it once. The server then wraps an application in the
middleware when it begins to serve it. Before that, the server and the program have found out what they want to know about
the application, such as its interface. The lifespan may begin before, too. An application that has the middleware already
is left alone.

Loaded modules are changed when a loop is governed. If `wrapt` is installed, its post-import hooks also change modules that
are loaded after the last loop was created. An unknown version of a server must not break the program. Every failure is
therefore logged, once for each server, and the server uses the application as it is.
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, TypeGuard

from asyncio_pulse.integrations.aiohttp import AiohttpMiddleware, middleware
from asyncio_pulse.integrations.asgi import PulseMiddleware
from asyncio_pulse.integrations.route_templates import applications
from asyncio_pulse.runtime.afterwards import AFTERWARDS
from asyncio_pulse.runtime.origin import origin_of

__all__ = ["RECOGNISED", "recognise"]

logger = logging.getLogger(__name__)

Function = Callable[..., Any]

MARK = "__asyncio_pulse__"
"""Attribute of functions that stand in for those of a server."""


def recognise() -> None:
    """Change the known modules that are loaded, and arrange the same for those that will be. May be repeated."""
    for name in RECOGNISED:
        module = sys.modules.get(name)
        if _is_loaded(module):
            _change(module)
    _await_imports()


@functools.cache
def _await_imports() -> None:
    try:
        from wrapt import register_post_import_hook
    except Exception:
        return  # not installed, or not usable: later modules are found when the next loop is created
    for name in RECOGNISED:
        # wrapt would at once hand over a module that is only half loaded, or the mock of a test suite.
        if name not in sys.modules:
            register_post_import_hook(_change, name)


def _is_loaded(module: object) -> TypeGuard[ModuleType]:
    """Whether this is a complete module: no mock of a test suite, and no lazy module, which any question would load."""
    return type(module) is ModuleType and not getattr(module.__spec__, "_initializing", False)


def _change(module: ModuleType) -> None:
    try:
        RECOGNISED[module.__name__](module)
    except Exception:
        _complain(module)


_failed: set[str] = set()


def _complain(module: ModuleType) -> None:
    """Log the present error, once for each framework."""
    framework = module.__name__.partition(".")[0]
    if framework not in _failed:
        _failed.add(framework)
        text = "%s: this version of %s is not recognised; its routes are not named"
        AFTERWARDS.call(functools.partial(logger.warning, text, origin_of(), framework, exc_info=sys.exception()))


def _before(owner: Any, name: str, act: Callable[[dict[str, Any]], None], module: ModuleType) -> None:
    """Let ours run before a function of the server. It may change the arguments, which it gets by name."""
    function: Function = getattr(owner, name)
    if hasattr(function, MARK):
        return
    signature = inspect.signature(function)

    def changed(*args: Any, **kwargs: Any) -> inspect.BoundArguments:
        given = signature.bind(*args, **kwargs)
        try:
            act(given.arguments)
        except Exception:
            _complain(module)
        return given

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = changed(*args, **kwargs)
        return function(*given.args, **given.kwargs)

    @functools.wraps(function)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        given = changed(*args, **kwargs)
        return await function(*given.args, **given.kwargs)

    stand_in = call_async if inspect.iscoroutinefunction(function) else call
    setattr(stand_in, MARK, True)
    setattr(owner, name, stand_in)


def _wrapped(app: Any) -> Any:
    return app if any(map(_is_middleware, _parts(app))) else PulseMiddleware(app)


def _parts(app: Any) -> Iterator[Any]:
    """Yield the applications that wrap each other, and the classes of middleware that Starlette will put round one."""
    for each in applications(app):
        yield each
        for added in getattr(each, "user_middleware", None) or ():
            yield getattr(added, "cls", None)
        if hasattr(each, "middleware_stack"):
            yield from applications(each.middleware_stack)


def _is_middleware(part: Any) -> bool:
    kind = part if isinstance(part, type) else type(part)
    return issubclass(kind, PulseMiddleware)


def _uvicorn(module: ModuleType) -> None:
    def before_startup(arguments: dict[str, Any]) -> None:
        # Each connection takes the application from here.
        config = arguments["self"].config
        config.loaded_app = _wrapped(config.loaded_app)

    _before(module.Server, "startup", before_startup, module)


def _hypercorn(module: ModuleType) -> None:
    def before_connection(arguments: dict[str, Any]) -> None:
        # All connections share one wrapper, of an ASGI or a WSGI application.
        wrapper = arguments["app"]
        if type(wrapper).__name__ == "ASGIWrapper":
            wrapper.app = _wrapped(wrapper.app)

    server = module.TCPServer if hasattr(module, "TCPServer") else module.UDPServer
    _before(server, "__init__", before_connection, module)


def _granian(module: ModuleType) -> None:
    def before_wrapping(arguments: dict[str, Any]) -> None:
        arguments["callback"] = _wrapped(arguments["callback"])

    _before(module, "_asgi_call_wrap", before_wrapping, module)


def _gunicorn(module: ModuleType) -> None:
    def before_serving(arguments: dict[str, Any]) -> None:
        worker = arguments["self"]
        worker.asgi = _wrapped(worker.asgi)

    _before(module.ASGIWorker, "_serve", before_serving, module)


def _aiohttp(module: ModuleType) -> None:
    def before_setup(arguments: dict[str, Any]) -> None:
        app = getattr(arguments["self"], "app", None)
        # A runner of a bare server has no application. One that was set up before cannot be changed.
        if app is None or app.middlewares.frozen or any(type(each) is AiohttpMiddleware for each in app.middlewares):
            return
        app.middlewares.insert(0, middleware())

    _before(module.BaseRunner, "setup", before_setup, module)


def _grpc(module: ModuleType) -> None:
    def before_init(arguments: dict[str, Any]) -> None:
        from asyncio_pulse.integrations.grpc import PulseInterceptor  # it loads grpc.aio, which is now complete

        interceptors = arguments["interceptors"] or ()
        if not any(isinstance(each, PulseInterceptor) for each in interceptors):
            arguments["interceptors"] = (PulseInterceptor(), *interceptors)

    _before(module.Server, "__init__", before_init, module)


RECOGNISED: Mapping[str, Callable[[ModuleType], None]] = {
    "aiohttp.web_runner": _aiohttp,
    "granian.server.embed": _granian,
    "granian.server.mp": _granian,
    "granian.server.mt": _granian,
    "grpc.aio._server": _grpc,
    "gunicorn.workers.gasgi": _gunicorn,
    "hypercorn.asyncio.tcp_server": _hypercorn,
    "hypercorn.asyncio.udp_server": _hypercorn,
    "uvicorn.server": _uvicorn,
}
"""Known modules, and what changes each of them. gunicorn's uvicorn workers run uvicorn's server."""
