"""Seats: a hall's sections, and one section's seats to choose from, as checkboxes in rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiohttp import web

from api.admission import Work
from api.answers import problem_of
from api.http import SERVICES, promo_code
from api.problems import Problem, not_found, unavailable
from engine.errors import EngineError, OutcomeUnknown
from engine.ids import ORDER_PLACES_MAX
from usecases import availability, events, orders, seats, told
from usecases.asked import Order
from usecases.denials import Denied
from usecases.tokens import Principal
from web import again, choices, forms, seating
from web.addresses import event_id_of, event_path
from web.asking import Mistakes, understood
from web.pages import order as ordering
from web.pages.event import ORDERABLE
from web.problems import sentence_of
from web.rendering import page
from web.serving import PageRoute, needed, person_of, see_other, to_sign_in_at, visit_of
from web.states import EventNow, TierNow, now_of

_SEAT, _SEATS, _CODE = "seat", "seats", "promo_code"
_IDS_CHARS_MAX = 400


class Hall(NamedTuple):
    """An event's seats and how its sale stands."""

    now: EventNow
    seat_map: told.SeatMap
    code: str

    def tier_of(self, section: told.SeatSection) -> TierNow | None:
        """Return the tier of a section, as its sale stands."""
        return next((one for one in self.now.tiers if one.tier.id == section.tier_id), None)


async def overview(request: web.Request) -> web.StreamResponse:
    """Show the sections, each with its price and what is free; the best together come first."""
    hall = await _hall(request)
    event = hall.now.event
    if not hall.seat_map.sections:
        return see_other(event_path(event))
    sections = [
        (seating.summed(one), tier)
        for one in hall.seat_map.sections
        if (tier := hall.tier_of(one)) is not None
    ]
    seated = {one.section.tier_id for one, _ in sections}
    return page(
        request,
        "seats/hall.html",
        event=event,
        event_url=event_path(event),
        now=hall.now,
        code=hall.code,
        sections=sections,
        seated=[one for one in hall.now.tiers if one.tier.id in seated and one.state in ORDERABLE],
        choosable=choices.choosable,
    )


async def _hall(request: web.Request, code: str | None = None) -> Hall:
    event_id = event_id_of(request.match_info["name"])
    if event_id is None:
        raise not_found()
    services, person = request.app[SERVICES], visit_of(request).person
    code = promo_code(request) if code is None else code
    event = needed(await events.read(services, person, event_id, code)).view
    seat_map = needed(await seats.read(services, person, event_id, -1, code)).view
    left = await availability.read(services, person, event_id, code)
    at = dt.datetime.now(dt.UTC)
    now = now_of(event, None if isinstance(left, Denied) else left.view, at)
    return Hall(now, seat_map, code)


async def section(request: web.Request) -> web.StreamResponse | Problem:
    """Show a section's seats; a choice in the address is shown as chosen, to who is signed in."""
    chosen = request.query.getall(_SEAT, [])[:ORDER_PLACES_MAX]
    if chosen and visit_of(request).person is None:
        return to_sign_in_at(request.rel_url.raw_path_qs)
    return await _section_page(request, chosen)


async def _section_page(
    request: web.Request,
    chosen: Sequence[str],
    problem: Problem | None = None,
    *,
    code: str | None = None,
) -> web.Response:
    hall = await _hall(request, code)
    found = _found(request, hall)
    tier = hall.tier_of(found)
    if tier is None:
        raise not_found()
    rows = seating.rows_of(found, chosen)
    gone = [one for one in chosen if seating.is_of(one, found) and not _is_free(found, one)]
    event = hall.now.event
    return page(
        request,
        "seats/section.html",
        status=problem.status if problem else 200,
        event=event,
        event_url=event_path(event),
        section=found,
        tier=tier,
        rows=rows,
        code=hall.code,
        version=hall.seat_map.version,
        is_open=tier.state in ORDERABLE,
        most=max(choices.choosable(tier.tier, event), default=1),
        gone=[(_place(rows, one), seating.beside(rows, one)) for one in gone],
        is_empty=problem is not None and not chosen,
        problem=problem,
        members=problem.members if problem else {},
        sentence=sentence_of(problem.code, problem.status) if problem else None,
    )


def _found(request: web.Request, hall: Hall) -> told.SeatSection:
    number = request.match_info["number"]
    is_number = number.isascii() and number.isdigit() and len(number) < 4
    found = seating.section_of(hall.seat_map, int(number)) if is_number else None
    if found is None:
        raise not_found()
    return found


def _is_free(found: told.SeatSection, own_id: str) -> bool:
    return any(
        seat.id == own_id and seat.is_free for row in seating.rows_of(found) for seat in row.seats
    )


def _place(rows: Sequence[seating.RowNow], own_id: str) -> tuple[seating.RowNow, str]:
    """Return the row of a seat, and the seat's label."""
    return next((row, seat.label) for row in rows for seat in row.seats if seat.id == own_id)


async def take(request: web.Request) -> web.StreamResponse | Problem:
    """Book or hold the chosen seats, all or none; the same form sent again does it once."""
    fields = dict(await forms.read(request))
    chosen = [str(one) for one in (await request.post()).getall(_SEAT, [])]
    return await _take(request, fields | {_SEATS: "+".join(chosen)[:_IDS_CHARS_MAX]})


async def take_again(request: web.Request) -> web.StreamResponse | Problem:
    """Ask once more for what a form asked for, with its key (`web.again`)."""
    fields = again.read(request)
    if fields is None:
        return see_other(request.path.removesuffix("/again"))
    return await _take(request, fields)


async def _take(request: web.Request, fields: Mapping[str, str]) -> web.StreamResponse | Problem:
    event_id, person = event_id_of(request.match_info["name"]), person_of(request)
    if event_id is None:
        raise not_found()
    chosen = [one for one in fields.get(_SEATS, "").split("+") if one]
    code = fields.get(_CODE, "")
    wanted = {"items": [{"seat_ids": chosen}]} | ({_CODE: code} if code else {})
    asked = understood(request, Order, wanted)
    if isinstance(asked, Mistakes):
        return await _section_page(request, chosen, problem_of_choice(), code=code)
    key, is_hold = forms.key_of(fields), fields.get("how") == "hold"
    try:
        done = await _taken(request, person, event_id, asked, key, is_hold=is_hold)
    except EngineError as error:
        is_unknown = isinstance(error, OutcomeUnknown)
        done = unavailable("outcome_unknown" if is_unknown else "shard_recovering")
    if isinstance(done, str):
        return see_other(done)
    if done.status == 503:
        kept = {_SEATS: fields[_SEATS], _CODE: code, "how": fields.get("how", "")}
        path = f"/e/{event_id}/seats/{request.match_info['number']}/again"
        return again.asks(request, done, path, kept | {forms.KEY_FIELD: key})
    return await _section_page(request, chosen, done, code=code)


def problem_of_choice() -> Problem:
    """Return what is told of no seat, too many, or some that there are not."""
    return Problem(422, "invalid", "The seats are not well chosen.")


async def _taken(
    request: web.Request, person: Principal, event_id: str, asked: Order, key: str, *, is_hold: bool
) -> str | Problem:
    """Book or hold; return where that is shown, or why it cannot be had."""
    wish = await orders.understand(request.app[SERVICES], person, event_id, asked)
    if isinstance(wish, Denied):
        return problem_of(wish)
    return await ordering.take(request, person, wish, key, is_hold=is_hold)


_HALL = "/e/{name}/seats"
_SECTION = _HALL + "/{number}"
ROUTES = (
    PageRoute("GET", _HALL, overview, is_public=True),
    PageRoute("GET", _SECTION, section, is_public=True),
    PageRoute("POST", _SECTION, take, Work.SALES, needs_person=True),
    PageRoute("GET", f"{_SECTION}/again", take_again, Work.SALES, needs_person=True),
)
