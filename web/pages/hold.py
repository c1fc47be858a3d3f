"""The page of a hold: until when it lasts, what it would cost, and the one button that books it."""

from __future__ import annotations

import datetime as dt
import math

from aiohttp import web

from api.admission import Work
from api.answers import problem_of
from api.http import SERVICES
from api.problems import Problem, unavailable
from engine.errors import EngineError, OutcomeUnknown
from usecases import events, holds, told
from usecases.denials import Denied
from usecases.services import Services
from usecases.tokens import Principal
from web import again, forms
from web.addresses import event_path
from web.bill import lines_of
from web.choices import Choice
from web.pages.order import made_path
from web.problems import sentence_of
from web.rendering import page
from web.serving import PageRoute, person_of, see_other

#: How long after a hold's end its page asks what became of it, in seconds.
TURNS_AFTER_S = 2


async def show(request: web.Request) -> web.StreamResponse | Problem:
    """Show a hold of one's own; one that became a booking leads there."""
    return await _show(request, None)


async def change(request: web.Request) -> web.StreamResponse | Problem:
    """Book what is held, ask for more time, or give it back; each may be sent many times."""
    fields = await forms.read(request)
    match fields.get("do"):
        case "book":
            return await _book(request)
        case "extend":
            extended = await holds.extend(*_own(request))
            if isinstance(extended, Denied):
                return await _show(request, problem_of(extended))
            return see_other(f"{request.path}?more")
        case "release":
            return await _release(request)
        case _:
            return see_other(request.path)


async def book_again(request: web.Request) -> web.StreamResponse | Problem:
    """Ask once more for the booking of a hold (`web.again`)."""
    if again.read(request) is None:
        return see_other(f"/hold/{request.match_info['hold_id']}")
    return await _book(request)


async def _book(request: web.Request) -> web.StreamResponse | Problem:
    try:
        confirmed = await holds.confirm(*_own(request), None)
    except EngineError as error:
        is_unknown = isinstance(error, OutcomeUnknown)
        problem = unavailable("outcome_unknown" if is_unknown else "shard_recovering")
    else:
        if not isinstance(confirmed, Denied):
            return see_other(made_path(confirmed[0]))
        problem = problem_of(confirmed)
    if problem.status == 503:
        path = f"/hold/{request.match_info['hold_id']}/again"
        return again.asks(request, problem, path, {"do": "book"})
    return await _show(request, problem)


async def _release(request: web.Request) -> web.StreamResponse | Problem:
    """Give a hold back, and lead to the event with the same choice."""
    hold = await holds.read(*_own(request))
    if isinstance(hold, Denied):
        return problem_of(hold)
    released = await holds.release(*_own(request))
    if isinstance(released, Denied):
        return await _show(request, problem_of(released))
    return see_other(f"/e/{hold.event_id}?{choice_of(hold.items).query()}#choose")


def choice_of(items: list[told.BookingItem]) -> Choice:
    """Return what was chosen, as it would be chosen again."""
    places: dict[str, int] = {}
    for item in items:
        places[item.tier_id] = places.get(item.tier_id, 0) + item.quantity
    return Choice(places)


async def _show(request: web.Request, problem: Problem | None) -> web.StreamResponse | Problem:
    if problem is not None and problem.code == "not_found":
        return problem
    services, person, own_id = _own(request)
    hold = await holds.read(services, person, own_id)
    if isinstance(hold, Denied):
        return problem_of(hold)
    if hold.booking_id is not None:
        return see_other(f"/b/{hold.booking_id}?made=again")
    seen = await events.read(services, person, hold.event_id, "")
    if isinstance(seen, Denied):
        return problem_of(seen)
    lines = await lines_of(services, hold.event_id, hold.items)
    now = dt.datetime.now(dt.UTC)
    left_s = math.ceil((hold.expires_at - now).total_seconds())
    shown = page(
        request,
        "booking/hold.html",
        status=problem.status if problem else 200,
        hold=hold,
        event=seen.view,
        event_url=event_path(seen.view),
        choose_url=f"{event_path(seen.view)}?{choice_of(hold.items).query()}#choose",
        lines=lines,
        items=list(zip(hold.items, lines, strict=True)),
        now=now,
        is_live=hold.status == "held" and left_s > 0,
        is_more="more" in request.query and problem is None,
        problem=problem,
        members=problem.members if problem else {},
        sentence=sentence_of(problem.code, problem.status) if problem else None,
    )
    if hold.status == "held" and left_s > 0:
        # Where no script counts down the page turns by itself, a little after its time.
        shown.headers["Refresh"] = f"{left_s + TURNS_AFTER_S}; url=/hold/{hold.id}"
    return shown


def _own(request: web.Request) -> tuple[Services, Principal, str]:
    return request.app[SERVICES], person_of(request), request.match_info["hold_id"]


ROUTES = (
    PageRoute("GET", "/hold/{hold_id}", show, Work.OWN, needs_person=True),
    PageRoute("POST", "/hold/{hold_id}", change, Work.SALES, needs_person=True),
    PageRoute("GET", "/hold/{hold_id}/again", book_again, Work.SALES, needs_person=True),
)
