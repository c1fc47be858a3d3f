"""Events: make, publish, list, read."""

from __future__ import annotations

import datetime as dt

import msgspec
from aiohttp import web

from api.answers import PUBLIC, VARY, answer, answer_page, problem_of
from api.http import (
    PRINCIPAL,
    SERVICES,
    has_seen,
    page_limit,
    page_start,
    promo_code,
    query_line,
    query_moment,
    query_text,
    read_body,
)
from api.problems import Problem
from api.schemas import EventPage
from usecases import discovery, drafts, events, told
from usecases.asked import NewEvent
from usecases.denials import Denied
from usecases.services import Services
from usecases.tokens import Principal

_NEW_EVENT = msgspec.json.Decoder(NewEvent)
_LONG_AGO = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "")


async def create(request: web.Request) -> web.StreamResponse | Problem:
    """Make a draft. Names that read alike are one name: of tiers, of sections, of rows."""
    asked = await read_body(request, _NEW_EVENT)
    made = await drafts.create(request.app[SERVICES], request[PRINCIPAL], asked)
    if isinstance(made, Denied):
        return problem_of(made)
    return answer(made, status=201, headers={"Location": f"/v1/events/{made.id}"})


async def publish(request: web.Request) -> web.StreamResponse | Problem:
    """
    Load the event's stock; from its opening on it may be sold.

    May be repeated: the event is published once, as it was when its publishing began. Answers when
    PostgreSQL has it, too.
    """
    return answer(await events.publish(*own(request)))


async def listing(request: web.Request) -> web.StreamResponse | Problem:
    """
    List published events that are not over, by start; filter by text, category, place and time.

    `q` finds words of name, venue, category, place, summary and the beginning of the description,
    in any script and case, with or without accents. All of them must be there; the last may be the
    beginning of a word.
    """
    page = await discovery.published(
        request.app[SERVICES],
        request.get(PRINCIPAL),
        limit=page_limit(request),
        after=page_start(request, _LONG_AGO),
        text=query_text(request, "q") or None,
        category=query_line(request, "category") or None,
        place=query_line(request, "place") or None,
        starts_from=query_moment(request, "from"),
        starts_before=query_moment(request, "to"),
    )
    return answer_page(request, EventPage, page, PUBLIC)


async def read(request: web.Request) -> web.StreamResponse | Problem:
    """
    Read one event; a draft only by its organizer.

    Hidden tiers are shown to its organizer, and with `promo_code` those that the code unlocks. The
    ETag is that of what is shown.
    """
    event_id, person = request.match_info["event_id"], request.get(PRINCIPAL)
    seen = await events.read(request.app[SERVICES], person, event_id, promo_code(request))
    if isinstance(seen, Denied):
        return problem_of(seen)
    etag = _etag(seen.view)
    cache = "private, no-cache" if seen.is_private else "no-cache"
    headers = {"ETag": etag, "Cache-Control": cache} | VARY
    if has_seen(request, etag):
        return web.Response(status=304, headers=headers)
    return answer(seen.view, headers=headers)


def own(request: web.Request) -> tuple[Services, Principal, str]:
    """Return what a use case on one's own event takes first."""
    return request.app[SERVICES], request[PRINCIPAL], request.match_info["event_id"]


def answer_event(event: told.Event | Denied) -> web.StreamResponse | Problem:
    """Answer with an event as it is now."""
    return answer(event, headers={} if isinstance(event, Denied) else {"ETag": _etag(event)})


def _etag(event: told.Event) -> str:
    return f'"{told.edition(event)}"'
