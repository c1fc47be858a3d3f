"""Booking: what was chosen on an event's page is checked, then booked at once or held."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from api.addresses import origin_of
from api.admission import Work
from api.answers import problem_of
from api.http import SERVICES, decode
from api.problems import Problem, not_found, unavailable
from engine.errors import EngineError, OutcomeUnknown
from engine.outcomes import Refused
from usecases import bookings, events, holds, orders, text, told
from usecases.asked import Order
from usecases.denials import Denied
from usecases.services import Services
from usecases.tokens import Principal
from web import again, bill, choices, forms
from web.addresses import event_id_of, event_path
from web.choices import Choice
from web.problems import sentence_of
from web.rendering import page
from web.serving import PageRoute, see_other, to_sign_in_at, visit_of

_ORDER = msgspec.json.Decoder(Order)


class Submitted(NamedTuple):
    """What somebody asks for by a form, which may be sent many times."""

    event_id: str
    choice: Choice
    #: Of the booking: whatever is asked again with it is done once.
    key: str
    is_hold: bool

    @property
    def fields(self) -> dict[str, str]:
        """All of it, as an address has it."""
        how = "hold" if self.is_hold else "book"
        return self.choice.fields() | {forms.KEY_FIELD: self.key, "how": how}


async def check(request: web.Request) -> web.StreamResponse | Problem:
    """Show what was chosen, at which prices, before it is asked for."""
    choice = choices.read(request.query)
    event = await _event(request, choice)
    if isinstance(event, Problem):
        return event
    if not choice.places:
        return see_other(f"{event_path(event)}?{choice.query()}#choose")
    # After signing in the key is still that of the form that was sent before.
    return _page(request, event, Submitted(event.id, choice, forms.key_of(request.query), False))


async def order(request: web.Request) -> web.StreamResponse | Problem:
    """Book what was chosen, or hold it; safe to send many times."""
    fields = await forms.read(request)
    return await _ask(request, fields)


async def ask_again(request: web.Request) -> web.StreamResponse | Problem:
    """Ask once more for what a form asked for, with its key (`web.again`)."""
    fields = again.read(request)
    if fields is None:
        choice, key = choices.read(request.query), forms.key_of(request.query)
        return see_other(_path(request, f"?{choice.query(form_key=key)}"))
    return await _ask(request, fields)


async def _ask(request: web.Request, fields: Mapping[str, str]) -> web.StreamResponse | Problem:
    event_id = event_id_of(request.match_info["name"])
    if event_id is None:
        raise not_found()
    wanted = Submitted(
        event_id, choices.read(fields), forms.key_of(fields), fields.get("how") == "hold"
    )
    person = visit_of(request).person
    if person is None:  # The session ended meanwhile.
        return to_sign_in_at(_path(request, f"?{wanted.choice.query(form_key=wanted.key)}"))
    if not wanted.choice.places:
        return await _refused(request, wanted, None)
    try:
        done = await _take(request, request.app[SERVICES], person, wanted)
    except Problem as problem:
        done = problem
    except EngineError as error:
        # Whether or not it was sent: with the same key it may be sent again.
        is_unknown = isinstance(error, OutcomeUnknown)
        done = unavailable("outcome_unknown" if is_unknown else "shard_recovering")
    if isinstance(done, str):
        return see_other(done)
    if done.status == 503:
        return again.asks(request, done, _path(request, "/again"), wanted.fields)
    return await _refused(request, wanted, done)


async def _take(
    request: web.Request, services: Services, person: Principal, wanted: Submitted
) -> str | Problem:
    """Book or hold; return where that is shown, or why it cannot be had."""
    known = await services.catalog.need(wanted.event_id, person=person)
    seated = {known.tier_ids[tier_no] for tier_no in known.section_tiers.values()}
    body = msgspec.json.encode(wanted.choice.order(seated))
    wish = await orders.understand(services, person, wanted.event_id, decode(body, _ORDER))
    if isinstance(wish, Denied):
        return problem_of(wish)
    return await take(request, person, wish, wanted.key, is_hold=wanted.is_hold)


async def take(
    request: web.Request, person: Principal, wish: orders.Wish, key: str, *, is_hold: bool
) -> str | Problem:
    """Book or hold what an order wishes; return where that is shown, or why it cannot be had."""
    services = request.app[SERVICES]
    if is_hold:
        held = await holds.hold(services, person, wish, key, None, origin_of(request))
        if isinstance(held, Refused):
            return problem_of(orders.denial_of(wish, held))
        return problem_of(held) if isinstance(held, Denied) else f"/hold/{held.told.id}"
    made = await bookings.book(services, person, wish, key, None)
    if isinstance(made, Refused):
        return problem_of(orders.denial_of(wish, made))
    return problem_of(made) if isinstance(made, Denied) else made_path(made)


def made_path(made: bookings.Made) -> str:
    """Return where a booking is shown that was just made, or was there before."""
    return f"/b/{made.own.id}?made={'again' if made.outcome.is_replay else 'now'}"


async def _refused(
    request: web.Request, wanted: Submitted, problem: Problem | None
) -> web.StreamResponse | Problem:
    """Show the choice again with what stands in its way; None: nothing was chosen."""
    event = await _event(request, wanted.choice)
    if isinstance(event, Problem):
        return event
    # Nothing was done with the old key; what is changed now is another order.
    anew = wanted._replace(key=forms.new_key())
    return _page(request, event, anew, problem, is_empty=problem is None)


async def _event(request: web.Request, choice: Choice) -> told.Event | Problem:
    event_id = event_id_of(request.match_info["name"])
    if event_id is None:
        raise not_found()
    seen = await events.read(
        request.app[SERVICES], visit_of(request).person, event_id, _known_code(choice.code)
    )
    return problem_of(seen) if isinstance(seen, Denied) else seen.view


def _known_code(typed: str) -> str:
    """Return a code as it is kept; empty for what can be none."""
    try:
        return text.code("/promo_code", typed) if typed else ""
    except Denied:
        return ""


def _page(
    request: web.Request,
    event: told.Event,
    wanted: Submitted,
    problem: Problem | None = None,
    *,
    is_empty: bool = False,
) -> web.Response:
    lines, members = wanted.choice.lines(event.tiers), problem.members if problem else {}
    # Of a code only the engine knows what it takes off, so it is held first.
    total = None if wanted.choice.code else bill.total(lines)
    wait_ms = members.get("retry_after_ms")
    now = dt.datetime.now(dt.UTC)
    return page(
        request,
        "booking/order.html",
        status=422 if is_empty else problem.status if problem else 200,
        event=event,
        event_url=event_path(event),
        wanted=wanted,
        choice=wanted.choice,
        lines=lines,
        total=total,
        choosable=choices.choosable,
        is_empty=is_empty,
        problem=problem,
        members=members,
        sentence=sentence_of(problem.code, problem.status) if problem else None,
        is_bad_code=problem is not None and ("/promo_code" in dict(problem.errors)),
        asked_count=sum(wanted.choice.places.values()),
        waiting_url=_waiting_url(event, wanted.choice, problem),
        wait_s=-(-int(wait_ms) // 1000) if wait_ms is not None else None,
        returns_at=now + dt.timedelta(milliseconds=int(wait_ms)) if wait_ms is not None else None,
    )


#: Of such a refusal the waiting list is a way on.
WAITABLE_CODES = frozenset({"sold_out", "all_held", "kept_for_waitlist"})


def _waiting_url(event: told.Event, choice: Choice, problem: Problem | None) -> str:
    """Return where one waits for what was refused, as it was chosen; empty where one cannot."""
    if problem is None or problem.code not in WAITABLE_CODES:
        return ""
    line = int(problem.members.get("line", 0))
    tier_id, count = list(choice.places.items())[line]
    is_hidden = any(tier.is_hidden for tier in event.tiers if tier.id == tier_id)
    query = urlencode({"tier_id": tier_id, "quantity": count})
    return "" if is_hidden else f"/e/{event.id}/wait?{query}"


def _path(request: web.Request, more: str) -> str:
    """Return an address of these pages; of the event's id alone, whatever the caller calls it."""
    return f"/e/{event_id_of(request.match_info['name'])}/book{more}"


ROUTES = (
    PageRoute("GET", "/e/{name}/book", check, needs_person=True),
    PageRoute("POST", "/e/{name}/book", order, Work.SALES),
    PageRoute("GET", "/e/{name}/book/again", ask_again, Work.SALES),
)
