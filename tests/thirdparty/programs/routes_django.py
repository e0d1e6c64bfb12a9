"""A Django application that knows nothing of asyncio-pulse, in one file."""

from collections.abc import AsyncIterator
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import include, path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="of a test", LOGGING_CONFIG=None)


async def item(request: Any, id: int) -> HttpResponse:
    return HttpResponse(f"item {id}")


async def stream(request: Any) -> StreamingHttpResponse:
    async def numbers() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number} "

    return StreamingHttpResponse(numbers())


async def fails(request: Any) -> HttpResponse:
    raise LookupError("the view's own")


async def health(request: Any) -> HttpResponse:
    return HttpResponse("healthy")


inner = [path("items/<int:id>", item)]
urlpatterns = [
    path("items/<int:id>", item),
    path("stream", stream),
    path("fails", fails),
    path("healthz", health),
    path("inner/", include(inner)),
]
app = get_asgi_application()
