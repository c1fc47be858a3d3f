"""Puts the API together: the use cases' services, routes; and takes it apart again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import cast

from aiohttp import web

from api import metrics
from api.addresses import ADDRESSES, Addresses, Network
from api.handlers.ops import OPENAPI
from api.http import SERVICES
from api.lane import HOT_ROUTES, HotRoute, hot_route
from api.leftovers import LEFTOVERS, Leftovers
from api.middleware import middleware
from api.openapi import describe
from api.policy import enforce
from api.routes import ROUTES
from usecases.wiring import Options, opened

WebHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(
    options: Options,
    *,
    body_bytes_max: int,
    availability_age_ms_max: int,
    trusted_proxies: Sequence[Network] = (),
) -> web.Application:
    """
    Make the application; connections open when it starts and close when it stops.

    It starts with PostgreSQL and Redis away, and says by `/readyz` that it is not ready.

    Args:
        availability_age_ms_max: How old may be what is told of what is left, in ms.

        trusted_proxies: Networks of proxies that are believed whom they speak for.
    """
    app = web.Application(middlewares=[middleware], client_max_size=body_bytes_max)

    async def services(app: web.Application) -> AsyncIterator[None]:
        async with opened(options) as app[SERVICES]:
            flushing = asyncio.create_task(metrics.keep_flushing())
            yield
            flushing.cancel()

    app.cleanup_ctx.append(services)
    app[ADDRESSES] = Addresses(trusted_proxies, secret=options.jwt_secret)
    app[LEFTOVERS] = Leftovers(age_ms_max=availability_age_ms_max)
    app[OPENAPI] = describe(ROUTES)
    add_routes(app)
    return app


def add_routes(app: web.Application) -> None:
    """Put every route behind its policy, and the hot ones onto the fast lane as well."""
    hot: list[HotRoute] = []
    for route in ROUTES:
        handler = enforce(route.policy, route.handler)
        # The middleware turns problems that are returned into responses.
        app.router.add_route(route.method, route.path, cast("WebHandler", handler))
        if route.is_hot:
            hot.append(hot_route(route.method, route.path, handler))
    app[HOT_ROUTES] = hot
