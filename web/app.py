"""
Puts the pages together and adds them to the application that serves the API.

A group of pages is a module of `web.pages` with a table `ROUTES`; here stands the list of them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from api.http import PEOPLE
from web.cookies import IS_SECURE, REMEMBERED, CookieMemory
from web.pages import (
    account,
    admin,
    booking,
    devices,
    discovery,
    event,
    files,
    hold,
    manage,
    me,
    messages,
    openid,
    order,
    organizer,
    proof,
    seats,
    service,
    settings,
    verify,
    waiting,
    wishes,
)
from web.problems import Pages
from web.rendering import PUBLIC_URL
from web.serving import KEPT, UNREAD, PageRoute, served

#: Every page there is.
ROUTES: tuple[PageRoute, ...] = (
    *discovery.ROUTES,
    *event.ROUTES,
    *order.ROUTES,
    *hold.ROUTES,
    *seats.ROUTES,
    *booking.ROUTES,
    *verify.ROUTES,
    *proof.ROUTES,
    *organizer.ROUTES,
    *service.ROUTES,
    *account.ROUTES,
    *openid.ROUTES,
    *me.ROUTES,
    *settings.ROUTES,
    *waiting.ROUTES,
    *manage.ROUTES,
    *admin.ROUTES,
    *messages.ROUTES,
    *wishes.ROUTES,
    *devices.ROUTES,
    *files.ROUTES,
)


def add_pages(app: web.Application, *, public_url: str) -> None:
    """
    Add the pages to the application of the API: `/` is for people, `/v1` for machines.

    Args:
        public_url: Where browsers find the site; by its scheme cookies are for TLS alone.
    """
    app[PUBLIC_URL] = public_url.rstrip("/")
    app[IS_SECURE] = public_url.startswith("https://")
    app[REMEMBERED], app[KEPT], app[UNREAD] = CookieMemory(), OrderedDict(), OrderedDict()
    app[files.MAPS_MADE] = OrderedDict()
    app[PEOPLE] = Pages()
    for route in ROUTES:
        # The middleware of the application turns problems that are returned into pages.
        handler = cast("Handler", served(app, route))
        methods = [route.method] + [hdrs.METH_HEAD] * (route.method == hdrs.METH_GET)
        for method in methods:
            app.router.add_route(method, route.path, handler)
