"""What is said of the service itself: whether it sells, help, and how accessible it is."""

from __future__ import annotations

from aiohttp import web

from api.http import CHECKS, SERVICES
from usecases import service_state
from web.rendering import page
from web.serving import PageRoute


async def status(request: web.Request) -> web.StreamResponse:
    """Tell whether sales are open, by the checks of readiness, and since when."""
    checks = await request.app[CHECKS](request)
    shards = checks["shards"]
    state = "open"
    if checks["database"] != "ok" or shards == "shut":
        state = "paused"
    elif shards != "ok":
        state = "partly"
    return page(
        request,
        "service/status.html",
        state=state,
        sends_mail=checks.get("notifier", "ok") == "ok",
        since=await service_state.since(request.app[SERVICES], is_open=state == "open"),
    )


async def help_(request: web.Request) -> web.StreamResponse:
    """Answer what people ask most."""
    return page(request, "service/help.html")


async def accessibility(request: web.Request) -> web.StreamResponse:
    """State how accessible the pages are, and what to do where they are not."""
    return page(request, "service/accessibility.html")


ROUTES = (
    PageRoute("GET", "/status", status, is_public=True),
    PageRoute("GET", "/help", help_, is_public=True),
    PageRoute("GET", "/accessibility", accessibility, is_public=True),
)
