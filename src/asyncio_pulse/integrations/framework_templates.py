"""Finds the route templates of an application's framework: Litestar, Quart, Django, or Starlette and FastAPI.

No framework is imported. As in `route_templates`, the framework's own router is asked a little earlier than the framework
asks it, and the answers are remembered in bounded number.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from asyncio_pulse.integrations.route_templates import (
    RouteTemplates,
    Templates,
    applications,
    is_router,
    path_below_root,
)

__all__ = ["find_templates"]

T = TypeVar("T")


def find_templates(app: Any, make: Callable[[Mapping[str, Any], str | None], T]) -> Templates[T] | None:
    """Return the templates of an application, or of the one that its middleware wraps; None if there is no known router.

    Args:
        app: The ASGI application.
        make: Makes the value for a template.
    """
    for each in applications(app):
        for is_known, templates in _KINDS:
            if is_known(each):
                return templates(each, make)
    return None


class _ByFramework(Templates[T]):
    def __init__(self, app: Any, make: Callable[[Mapping[str, Any], str | None], T]) -> None:
        super().__init__(make)
        self._app = app


class _LitestarTemplates(_ByFramework[T]):
    def match(self, scope: Mapping[str, Any]) -> str | None:
        path: str = sys.modules["litestar.utils"].normalize_path(path_below_root(scope))
        router = self._app.asgi_router
        try:
            # The same arguments as Litestar's own call, which then finds the answer in its cache.
            _, _, rest, _, template = router.handle_routing(path=path, method=scope.get("method"))
        except Exception as error:
            if getattr(error, "status_code", None) in (404, 405):
                return None
            raise
        if template:
            return str(template)
        # Litestar 2.12 gives no template for a route without parameters. No version gives one for a mounted application.
        if path in router._plain_routes:
            return path
        mount = path.removesuffix(rest.rstrip("/"))
        return mount.rstrip("/") + "/{path:path}"


class _QuartTemplates(_ByFramework[T]):
    def match(self, scope: Mapping[str, Any]) -> str | None:
        adapter = self._app.url_map.bind("localhost")
        is_websocket = scope["type"] == "websocket"
        try:
            rule, _ = adapter.match(
                path_below_root(scope), scope.get("method"), return_rule=True, websocket=is_websocket
            )
        except Exception as error:
            # Not found, another method, or a redirect to the path with or without a slash.
            if getattr(error, "code", None) in (308, 400, 404, 405):
                return None
            raise
        template: str = rule.rule
        return template


class _DjangoTemplates(_ByFramework[T]):
    def match(self, scope: Mapping[str, Any]) -> str | None:
        urls = sys.modules["django.urls"]
        try:
            return f"/{urls.get_resolver().resolve(path_below_root(scope)).route}"
        except urls.Resolver404:
            return None


def _is_litestar(app: Any) -> bool:
    return hasattr(app, "asgi_router") and "litestar" in sys.modules


def _is_quart(app: Any) -> bool:
    # A route that depends on the host is not found by its path.
    url_map = getattr(app, "url_map", None)
    return url_map is not None and "quart" in sys.modules and not (url_map.host_matching or app.subdomain_matching)


def _is_django(app: Any) -> bool:
    handlers = sys.modules.get("django.core.handlers.asgi")
    return handlers is not None and isinstance(app, handlers.ASGIHandler)


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[..., Templates[Any]]], ...] = (
    (_is_litestar, _LitestarTemplates),
    (_is_quart, _QuartTemplates),
    (_is_django, _DjangoTemplates),
    (is_router, RouteTemplates),
)
