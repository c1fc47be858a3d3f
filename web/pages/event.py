"""The page of an event: what, when, where, for how much, and how its sale stands."""

from __future__ import annotations

import datetime as dt
import math
import random

from aiohttp import web

from api.answers import problem_of
from api.http import SERVICES, promo_code
from api.problems import Problem, not_found
from engine.errors import EngineError
from usecases import availability, discovery, events, reminders, seats, told
from usecases.denials import Denied
from web import choices
from web.addresses import event_id_of, event_path
from web.event_data import json_ld
from web.rendering import PUBLIC_URL, page
from web.serving import PageRoute, visit_of
from web.states import EventNow, State, now_of

#: Of a tier in such a state places can be asked for.
ORDERABLE = frozenset({State.ON_SALE, State.FEW})
#: Those who ask again when a place may return do not all come in the same instant.
AGAIN_SPREAD_S = 4.0


async def show(request: web.Request) -> web.StreamResponse | Problem:
    """Show an event; what a code unlocks of it, with `?promo_code=`."""
    event_id = event_id_of(request.match_info["name"])
    if event_id is None:
        raise not_found()
    services, person, code = request.app[SERVICES], visit_of(request).person, promo_code(request)
    seen = await events.read(services, person, event_id, code)
    if isinstance(seen, Denied):
        return problem_of(seen)
    event = seen.view
    if request.rel_url.raw_path != event_path(event):
        return web.Response(status=301, headers={"Location": event_path(event) + _query(request)})
    now = now_of(event, await _left(request, event_id, code), dt.datetime.now(dt.UTC))
    asks_in_s = _asks_in_s(now) if "again" in request.query else 0
    response = page(
        request,
        "event/event.html",
        asks_again=asks_in_s > 0,
        now=now,
        event=event,
        code=code,
        is_seated=await seats.is_seated(services, event),
        has_codes=await events.has_codes(services, event_id),
        own_path=event_path(event),
        seller=await discovery.seller_or_nobody(services, event.organizer_id),
        canonical=request.app[PUBLIC_URL] + event_path(event),
        data=json_ld(now, request.app[PUBLIC_URL]),
        choice=_choice(request, now),
        choosable=choices.choosable,
        orderable=ORDERABLE,
        is_reminded=await _is_reminded(request, now),
    )
    if asks_in_s:
        response.headers["Refresh"] = str(asks_in_s)
    return response


def _asks_in_s(now: EventNow) -> int:
    """Return when a page is asked for again where a place may return then; 0 where none may."""
    if now.returns_at is None:
        return 0
    wait_s = max(0.0, (now.returns_at - now.at).total_seconds())
    return math.ceil(wait_s + 1 + random.uniform(0, AGAIN_SPREAD_S))  # noqa: S311 - no secret


async def _is_reminded(request: web.Request, now: EventNow) -> bool:
    """Tell whether somebody is told before the sale opens; of others it is not asked."""
    person = visit_of(request).person
    if person is None or now.state is not State.SOON:
        return False
    return await reminders.is_asked(request.app[SERVICES], person, now.event.id) is True


def _choice(request: web.Request, now: EventNow) -> choices.Choice:
    """Return what was chosen before; of one tier alone, as few as there may be."""
    chosen = choices.read(request.query)
    if chosen.places or len(now.tiers) != 1:
        return chosen
    tier = now.tiers[0].tier
    return chosen._replace(places={tier.id: tier.min_per_order})


def _query(request: web.Request) -> str:
    text = request.rel_url.raw_query_string
    return f"?{text}" if text else ""


async def _left(request: web.Request, event_id: str, code: str) -> told.Availability | None:
    """Return what is left; None while nobody can tell, or where nothing is sold yet."""
    person = visit_of(request).person
    try:
        found = await availability.read(request.app[SERVICES], person, event_id, code)
    except EngineError:
        return None
    return None if isinstance(found, Denied) else found.view


ROUTES = (PageRoute("GET", "/e/{name}", show, is_public=True),)
