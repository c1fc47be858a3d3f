"""The box office of an event: its orders, and who waits for places."""

from __future__ import annotations

from typing import cast

import msgspec
from aiohttp import web

from api.answers import PERSONAL, answer, answer_page, problem_of
from api.http import (
    PRINCIPAL,
    SERVICES,
    idempotency_key,
    page_limit,
    page_start,
    query_once,
    query_text,
    read_body,
    wanted_durability,
)
from api.problems import Problem, invalid
from api.schemas import EventOrderPage, WaitingPage
from usecases import box_office, desk, doors
from usecases.asked import CancelOrder, MoveOrder, NewOrderNote, OrderFor, SettledRefund
from usecases.denials import Denied
from usecases.services import Services
from usecases.tokens import Principal

_SELL = msgspec.json.Decoder(OrderFor)
_CANCEL = msgspec.json.Decoder(CancelOrder)
_MOVE = msgspec.json.Decoder(MoveOrder)
_NOTE = msgspec.json.Decoder(NewOrderNote)
_REFUND = msgspec.json.Decoder(SettledRefund)


async def listing(request: web.Request) -> web.StreamResponse | Problem:
    """
    List the bookings of an event of one's own, by id.

    `q` is how a booking's id, the buyer's address, or a word of their name begins. API keys are
    shown no names and addresses, and search by ids alone.
    """
    status = query_once(request, "status")
    if status not in {None, "confirmed", "cancelled"}:
        raise invalid("/query/status", "must be confirmed or cancelled")
    page = await desk.listing(
        *_at_event(request),
        after_id=page_start(request, doors.BEGIN)[1],
        limit=page_limit(request),
        status=cast("desk.OrderStatus | None", status),
        text=query_text(request, "q"),
    )
    return answer_page(request, EventOrderPage, page, PERSONAL)


async def read(request: web.Request) -> web.StreamResponse | Problem:
    """
    Read a booking of an event of one's own: tickets and who has them, notes, refund, history.

    Codes of tickets are shown to their holders alone.
    """
    return answer(await desk.read(*_at_order(request)), headers=PERSONAL)


async def sell(request: web.Request) -> web.StreamResponse | Problem:
    """
    Book places for somebody with an account, named by its id or the address that it has proved.

    The booking is theirs. With `beyond_limit` it may exceed what one person may have; the reason
    stands in the log of acts. Repeating the request with the same Idempotency-Key gives the same
    booking, and 200 instead of 201 if it was cancelled meanwhile.
    """
    key, asked = idempotency_key(request), await read_body(request, _SELL)
    services, person, event_id = _at_event(request)
    wanted = wanted_durability(request)
    done = await box_office.sell(services, person, event_id, asked, key, wanted)
    if isinstance(done, Denied):
        return problem_of(done)
    location = {"Location": f"/v1/events/{event_id}/orders/{done.told.id}"}
    status = 201 if done.told.status == "confirmed" else 200
    return answer(done, status=status, headers=PERSONAL | location)


async def cancel(request: web.Request) -> web.StreamResponse | Problem:
    """
    Cancel a booking of an event of one's own, or some of its places, with a reason.

    What its buyer may not cancel, nobody cancels here: a ticket on which somebody is in, or by the
    event's `transfers` one that was given away. What the places cost is due as a refund. May be
    repeated.
    """
    asked = await read_body(request, _CANCEL)
    return answer(await box_office.cancel(*_at_order(request), asked), headers=PERSONAL)


async def move(request: web.Request) -> web.StreamResponse | Problem:
    """
    Give a booking's tickets, or some, to an account; their old codes no longer pass.

    The booking stays who booked it, and so does its place in their limit. May be repeated.
    """
    asked = await read_body(request, _MOVE)
    return answer(await box_office.move(*_at_order(request), asked), headers=PERSONAL)


async def note(request: web.Request) -> web.StreamResponse | Problem:
    """
    Write a note on a booking; its buyer may ask to be told it, and it goes with their erasure.

    Repeating the request with the same Idempotency-Key gives the same note.
    """
    key, asked = idempotency_key(request), await read_body(request, _NOTE)
    done = await box_office.note(*_at_order(request), asked, key)
    return answer(done, status=201, headers=PERSONAL)


async def settle_refund(request: web.Request) -> web.StreamResponse | Problem:
    """
    Say that what is due of a booking is given back, or waived; no money moves by it.

    For all that is due at the booking's `version`, once. May be repeated.
    """
    asked = await read_body(request, _REFUND)
    return answer(await box_office.settle_refund(*_at_order(request), asked), headers=PERSONAL)


async def waiting(request: web.Request) -> web.StreamResponse | Problem:
    """List who waits at an event of one's own, in the order of its lists, and why each waits."""
    page = await desk.waiting(
        *_at_event(request), after=page_start(request, doors.BEGIN)[1], limit=page_limit(request)
    )
    return answer_page(request, WaitingPage, page, PERSONAL)


def _at_event(request: web.Request) -> tuple[Services, Principal, str]:
    return request.app[SERVICES], request[PRINCIPAL], request.match_info["event_id"]


def _at_order(request: web.Request) -> tuple[Services, Principal, str, str]:
    return *_at_event(request), request.match_info["booking_id"]
