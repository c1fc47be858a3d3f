"""Puts the API together: the use cases' services, routes; and takes it apart again."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

from aiohttp import HttpVersion11, hdrs, web

from api import metrics
from api.addresses import ADDRESSES, Addresses
from api.admission import ADMISSION, Admission, Work, work_of
from api.cors import CORS, Cors
from api.draining import DRAINING, Draining
from api.handlers.docs import DOCS, rendered
from api.handlers.live import HUB
from api.handlers.ops import EXPOSITION, OPENAPI, READINESS, Together, checks_of
from api.http import CHECKS, SERVICES
from api.lane import HOT_ROUTES, HotRoute, hot_route
from api.leftovers import LEFTOVERS, MAPS, MAPS_MAX, Leftovers
from api.mailbox import add_mailbox
from api.malformed import expects_nothing_else, objection
from api.middleware import middleware
from api.openapi import describe
from api.outgoing import Outgoing
from api.policy import enforce
from api.repeats import once
from api.routes import ROUTES
from api.scopes import opening
from api.streams import HEARTBEAT, NEWS, STREAMS, StreamBounds, Streams, encode
from api.traces import SPANS
from engine.outward import Network
from engine.spans import SpanTeller
from engine.tasks import end
from usecases.live import Hub
from usecases.news import News
from usecases.wiring import Options, opened

WebHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(
    options: Options,
    *,
    body_bytes_max: int,
    availability_age_ms_max: int,
    trusted_proxies: Sequence[Network] = (),
    cors_origins: Iterable[str] = (),
    openid_hosts: Iterable[str] = (),
    under_way_max: Mapping[Work, int] | None = None,
    stream_bounds: StreamBounds = StreamBounds(),  # noqa: B008  It never changes.
    mailbox: str = "",
    faces: Iterable[Callable[[web.Application], None]] = (),
    spans: SpanTeller | None = None,
) -> web.Application:
    """
    Make the application; connections open when it starts and close when it stops.

    It starts with PostgreSQL and Redis away, and says by `/readyz` that it is not ready.

    Args:
        availability_age_ms_max: How old may be what is told of what is left, in ms.

        trusted_proxies: Networks of proxies that are believed whom they speak for.

        cors_origins: Sites whose pages may use the API from a browser.

        openid_hosts: Hosts that may be asked beside those of the issuers.

        under_way_max: Requests under way at a time by kind of work; what is not named has no bound.

        stream_bounds: Event streams that may be open at a time.

        mailbox: Folder of mail that did not leave, on a development machine; empty: there is none.

        faces: What adds other faces of the same use cases, to be served beside the API.

        spans: Who is told of each request when it is answered; None: nobody.
    """
    app = web.Application(middlewares=[middleware], client_max_size=body_bytes_max)

    async def services(app: web.Application) -> AsyncIterator[None]:
        asked = [issuer for issuer, _, _ in options.openid_providers.values()]
        asked += [f"https://{host}" for host in openid_hosts]
        async with (
            Outgoing(asked) as outgoing,
            opened(options, outgoing.fetch) as app[SERVICES],
            _live(app),
        ):
            flushing = asyncio.create_task(metrics.keep_flushing())
            yield
            await end(flushing)

    app.cleanup_ctx.append(services)
    app[ADDRESSES] = Addresses(trusted_proxies, secret=options.jwt_secret)
    app[CORS], app[ADMISSION] = Cors(cors_origins), Admission(under_way_max or {})
    app[DRAINING] = Draining()
    app[STREAMS] = Streams(stream_bounds, app[DRAINING])
    app.on_shutdown.append(_end_streams)
    app[LEFTOVERS] = Leftovers(age_ms_max=availability_age_ms_max)
    app[MAPS] = Leftovers(age_ms_max=availability_age_ms_max, most=MAPS_MAX)
    app[OPENAPI], app[DOCS] = _document(), _page()
    app[READINESS], app[EXPOSITION], app[CHECKS] = Together(), Together(), checks_of
    add_routes(app)
    if spans is not None:
        app[SPANS] = spans
    if mailbox:
        add_mailbox(app, Path(mailbox))
    for add_face in faces:
        add_face(app)
    return app


@contextlib.asynccontextmanager
async def _live(app: web.Application) -> AsyncIterator[None]:
    """Watch events, and follow what concerns accounts, for those who listen."""
    services = app[SERVICES]
    app[HUB] = hub = Hub(
        services.engine,
        services.catalog,
        services.pools.events,
        encode,
        heartbeat=HEARTBEAT,
        on_change=metrics.count_change,
    )
    app[NEWS] = news = News(services.pools.own, encode)
    hub.start()
    looking = asyncio.create_task(app[STREAMS].keep_looking())
    try:
        yield
    finally:
        await end(looking)
        await hub.close()
        await news.close()


async def _end_streams(app: web.Application) -> None:
    app[STREAMS].end_all()


@functools.cache
def _document() -> bytes:
    """Return the OpenAPI document, which is the same for each application of a process."""
    return describe(ROUTES)


@functools.cache
def _page() -> bytes:
    """Return the document as a page for people."""
    return rendered(_document())


def add_routes(app: web.Application) -> None:
    """Put every route behind its policy, each GET as HEAD too, and hot ones onto the fast lane."""
    hot: list[HotRoute] = []
    for route in ROUTES:
        work = work_of(route.method, route.path, route.policy)
        does = once(route.handler, is_secret=route.is_secret) if route.is_kept else route.handler
        admitted = app[ADMISSION].admit(work, does)
        scopes = opening(route.method, route.path)
        handler = enforce(route.policy, admitted, scopes=scopes)
        # The middleware turns problems that are returned into responses.
        methods = [route.method] + [hdrs.METH_HEAD] * (route.method == hdrs.METH_GET)
        for method in methods:
            web_handler = cast("WebHandler", handler)
            app.router.add_route(method, route.path, web_handler, expect_handler=_go_on)
        if route.is_hot:
            hot.append(hot_route(route.method, route.path, handler))
    app[HOT_ROUTES] = hot


async def _go_on(request: web.Request) -> None:
    """Let a body come that was announced, unless the request is refused anyway."""
    is_refused = objection(request, request.app._client_max_size) is not None  # noqa: SLF001
    if request.version == HttpVersion11 and expects_nothing_else(request) and not is_refused:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # The answer has not begun.
