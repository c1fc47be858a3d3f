"""An organizer's public page, calendars that are subscribed to, and pictures to be shared."""

from __future__ import annotations

import asyncio
import datetime as dt

from aiohttp import hdrs, web

from api.admission import Work
from api.answers import cursor_of, problem_of
from api.http import SERVICES, page_start
from api.problems import Problem, not_found
from usecases import discovery, events, papers, told
from usecases.denials import Denied
from web.addresses import event_id_of, event_path
from web.pages.discovery import now_of_all
from web.rendering import PUBLIC_URL, page
from web.serving import PageRoute, visit_of

LIST_EVENTS = 24
#: Events of a calendar that is subscribed to: those that come first.
FEED_EVENTS = 200
#: How long a calendar, and a picture, may be kept by others.
FEED_CACHE = "public, max-age=900"
CARD_CACHE = "public, max-age=3600"
_LONG_AGO = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "")


async def show(request: web.Request) -> web.StreamResponse | Problem:
    """Show who an organizer is, and the events that they have to come."""
    services, organizer_id = request.app[SERVICES], request.match_info["organizer_id"]
    name = await discovery.seller(services, organizer_id)
    if isinstance(name, Denied):
        return problem_of(name)
    after = page_start(request, _LONG_AGO)
    found = await discovery.sold_by(services, organizer_id, after=after, limit=LIST_EVENTS)
    path = f"/o/{organizer_id}"
    return page(
        request,
        "organizer/organizer.html",
        name=name,
        own_path=path,
        canonical=request.app[PUBLIC_URL] + path,
        cards=await now_of_all(services, found.data),
        next_url="" if found.last is None else f"{path}?after={cursor_of(found.last)}",
        is_later="after" in request.query,
        path_of=event_path,
    )


async def calendar_of_all(request: web.Request) -> web.StreamResponse:
    """Return all events to come as a calendar."""
    services = request.app[SERVICES]
    found = await discovery.published(
        services,
        after=_LONG_AGO,
        limit=FEED_EVENTS,
        text=None,
        category=None,
        place=None,
        starts_from=None,
        starts_before=None,
    )
    ids = list({one.organizer_id for one in found.data})
    names = await asyncio.gather(*(discovery.seller_or_nobody(services, one) for one in ids))
    return await _calendar(request, "Evently", found.data, dict(zip(ids, names, strict=True)))


async def calendar(request: web.Request) -> web.StreamResponse | Problem:
    """Return an organizer's events to come as a calendar."""
    services, organizer_id = request.app[SERVICES], request.match_info["organizer_id"]
    name = await discovery.seller(services, organizer_id)
    if isinstance(name, Denied):
        return problem_of(name)
    found = await discovery.sold_by(services, organizer_id, after=_LONG_AGO, limit=FEED_EVENTS)
    return await _calendar(request, name, found.data, {organizer_id: name})


async def _calendar(
    request: web.Request, name: str, listed: list[told.Event], sellers: dict[str, str]
) -> web.StreamResponse:
    site = request.app[PUBLIC_URL]
    rows = [(one, sellers[one.organizer_id], site + event_path(one)) for one in listed]
    body = await papers.feed(request.app[SERVICES], name, rows)
    return web.Response(
        body=body,
        content_type="text/calendar",
        charset="utf-8",
        headers={hdrs.CACHE_CONTROL: FEED_CACHE},
    )


async def card(request: web.Request) -> web.StreamResponse | Problem:
    """Return the picture that is shown where an event's page is shared."""
    event_id = event_id_of(request.match_info["name"])
    if event_id is None:
        raise not_found()
    services = request.app[SERVICES]
    seen = await events.read(services, None, event_id, "")
    if isinstance(seen, Denied):
        return problem_of(seen)
    seller = await discovery.seller_or_nobody(services, seen.view.organizer_id)
    body = await papers.share_card(services, seen.view, seller, visit_of(request).language)
    return web.Response(
        body=body, content_type="image/png", headers={hdrs.CACHE_CONTROL: CARD_CACHE}
    )


ROUTES = (
    PageRoute("GET", "/o/{organizer_id}", show, Work.LISTS, is_public=True),
    PageRoute("GET", "/o/{organizer_id}/events.ics", calendar, Work.LISTS),
    PageRoute("GET", "/events.ics", calendar_of_all, Work.LISTS),
    PageRoute("GET", "/e/{name}/card.png", card),
)
