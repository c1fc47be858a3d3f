"""Finding events: the first page, and the search with its filters as links."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from api.admission import Work
from api.answers import cursor_of
from api.http import SERVICES, page_start, query_line, query_text
from engine.errors import EngineError
from usecases import availability, discovery, told
from usecases.denials import Denied
from usecases.services import Services
from web.addresses import event_path
from web.rendering import page
from web.serving import PageRoute
from web.states import EventNow, State, now_of

#: Events of a page of the list, and of the first page.
LIST_EVENTS = 24
HOME_EVENTS = 36
CATEGORIES_MAX = 12
_LONG_AGO = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "")


async def home(request: web.Request) -> web.StreamResponse:
    """Show what opens soon and what is on sale, and lead to all else."""
    found = await _found(request, limit=HOME_EVENTS)
    cards = await now_of_all(request.app[SERVICES], found.data)
    categories = Counter(one.category for one in found.data if one.category)
    return page(
        request,
        "discovery/home.html",
        soon=[one for one in cards if one.state is State.SOON],
        others=[one for one in cards if one.state is not State.SOON],
        categories=[name for name, _ in categories.most_common(CATEGORIES_MAX)],
        has_more=found.last is not None,
        path_of=event_path,
    )


async def search(request: web.Request) -> web.StreamResponse:
    """Show the events that match, by start, a page at a time; each filter is a link."""
    asked = {
        "q": query_text(request, "q") or "",
        "category": query_line(request, "category") or "",
        "place": query_line(request, "place") or "",
    }
    found = await _found(
        request,
        limit=LIST_EVENTS,
        after=page_start(request, _LONG_AGO),
        text=asked["q"] or None,
        category=asked["category"] or None,
        place=asked["place"] or None,
    )
    given = {name: text for name, text in asked.items() if text}
    next_url = ""
    if found.last is not None:
        next_url = f"/events?{urlencode(given | {'after': cursor_of(found.last)})}"
    return page(
        request,
        "discovery/search.html",
        asked=asked,
        without=[
            (name, text, "/events?" + urlencode({one: given[one] for one in given if one != name}))
            for name, text in given.items()
        ],
        cards=await now_of_all(request.app[SERVICES], found.data),
        next_url=next_url,
        is_filtered=bool(given) or "after" in request.query,
        path_of=event_path,
    )


async def _found(
    request: web.Request, *, limit: int, after: tuple[dt.datetime, str] = _LONG_AGO, **wanted: Any
) -> told.Page[told.Event]:
    asked = {"text": None, "category": None, "place": None, "starts_before": None} | wanted
    return await discovery.published(
        request.app[SERVICES], after=after, limit=limit, starts_from=None, **asked
    )


async def now_of_all(services: Services, events: list[told.Event]) -> list[EventNow]:
    """Return how the sales of events stand; where nobody can tell, the list goes on without it."""
    at = dt.datetime.now(dt.UTC)
    left = await asyncio.gather(*(_left(services, one.id) for one in events))
    return [now_of(one, known, at) for one, known in zip(events, left, strict=True)]


async def _left(services: Services, event_id: str) -> told.Availability | None:
    try:
        found = await availability.read(services, None, event_id, "")
    except EngineError:
        return None
    return None if isinstance(found, Denied) else found.view


ROUTES = (
    PageRoute("GET", "/", home, Work.LISTS, is_public=True),
    PageRoute("GET", "/events", search, Work.LISTS, is_public=True),
)
