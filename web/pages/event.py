"""The page of an event: what, when, where, for how much, and how its sale stands."""

from __future__ import annotations

import datetime as dt

from aiohttp import web

from api.answers import problem_of
from api.http import SERVICES, promo_code
from api.problems import Problem, not_found
from engine.errors import EngineError
from usecases import availability, events, reminders, seats, told
from usecases.denials import Denied
from web import choices
from web.addresses import event_id_of, event_path
from web.event_data import json_ld
from web.rendering import PUBLIC_URL, page
from web.serving import PageRoute, visit_of
from web.states import EventNow, State, now_of

#: Of a tier in such a state places can be asked for.
ORDERABLE = frozenset({State.ON_SALE, State.FEW})


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
    return page(
        request,
        "event/event.html",
        now=now,
        event=event,
        code=code,
        is_seated=await seats.is_seated(services, event),
        has_codes=await events.has_codes(services, event_id),
        canonical=request.app[PUBLIC_URL] + event_path(event),
        data=json_ld(now, request.app[PUBLIC_URL]),
        choice=_choice(request, now),
        choosable=choices.choosable,
        orderable=ORDERABLE,
        is_reminded=await _is_reminded(request, now),
    )


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
