"""Interceptor for servers of grpc.aio: each call is counted to the group of its method.

    server = grpc.aio.server(interceptors=[PulseInterceptor()])

The behaviour of a method is an awaited governed call from its first message to its last one, as a request is with
`asyncio_pulse.integrations.asgi`. A method that yields its answers writes them to the context instead, as `grpc.aio` itself
would do. Methods that are plain functions run in threads, and are left alone.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping
from operator import attrgetter
from typing import Any

from asyncio_pulse import _core
from asyncio_pulse.integrations.request_rules import MAX_GROUPS, RequestGroup, RequestRules
from asyncio_pulse.policy.priority import TaskPriority

try:
    import grpc.aio as grpc_aio  # type: ignore[import-not-found, import-untyped, unused-ignore]
except ImportError:  # nobody can have a server to give an interceptor to
    grpc_aio = None

__all__ = ["PulseInterceptor"]

Details = Any
Behaviour = Callable[[Any, Any], Any]


class PulseInterceptor:
    """Puts each call into the explicit group of its method, "shop.Items/Get".

    It should be the first of the server's interceptors, so that the behaviour of the others runs inside the group. Calls of
    methods that the server does not have are in no group.

    Args:
        group: Names the group of a call, or returns None for its method. It is called with the `grpc.HandlerCallDetails`.
        priority: Shell-style patterns of group names with their priorities, or a function of the details that may return
            None. The service `grpc.health.v1.Health` has priority HIGH without one.
        preemptible: Shell-style patterns of group names whose calls may be suspended anywhere in their Python code.
        max_groups: Maximum number of groups, 1..100,000. Further calls share one group, "(other routes)".

    Raises:
        ConfigError: `max_groups`, `preemptible` or a priority of the mapping is of the wrong type or out of range.
    """

    def __init__(
        self,
        *,
        group: Callable[[Details], str | None] | None = None,
        priority: Mapping[str, TaskPriority] | Callable[[Details], TaskPriority | None] | None = None,
        preemptible: Collection[str] = (),
        max_groups: int = MAX_GROUPS.default,
    ) -> None:
        """Prepare without looking at any call."""
        self._rules: RequestRules[Details] = RequestRules(
            "PulseInterceptor",
            attrgetter("method"),
            group=group,
            priority=priority,
            preemptible=preemptible,
            max_groups=max_groups,
        )

    async def intercept_service(
        self, continuation: Callable[[Details], Awaitable[Any]], handler_call_details: Details
    ) -> Any:
        """Return the handler of a call, with a behaviour that runs in the group."""
        handler = await continuation(handler_call_details)
        if handler is None or _core.current() is None:
            return handler
        kind = f"{_form(handler.request_streaming)}_{_form(handler.response_streaming)}"
        behaviour: Behaviour = getattr(handler, kind)
        if inspect.isasyncgenfunction(behaviour):
            serve = _write_answers
        elif inspect.iscoroutinefunction(behaviour):
            serve = _answer
        else:
            return handler
        options = self._rules.options(handler_call_details, self._group_of_method)

        @functools.wraps(behaviour)
        async def governed(request: Any, context: Any) -> Any:
            return await _core.GovernedCoroutine(serve(behaviour, request, context), options)

        make = getattr(sys.modules["grpc"], f"{kind}_rpc_method_handler")
        return make(governed, handler.request_deserializer, handler.response_serializer)

    def _group_of_method(self, details: Details) -> RequestGroup:
        return self._rules.group(details.method.removeprefix("/"))


if grpc_aio is not None:
    # A server asks whether each interceptor is one of these.
    grpc_aio.ServerInterceptor.register(PulseInterceptor)


def _form(is_stream: bool) -> str:
    return "stream" if is_stream else "unary"


async def _answer(behaviour: Behaviour, request: Any, context: Any) -> Any:
    # The behaviour's own coroutine is not used directly: see `integrations.asgi`.
    return await behaviour(request, context)


async def _write_answers(behaviour: Behaviour, request: Any, context: Any) -> None:
    async for answer in behaviour(request, context):
        await context.write(answer)
