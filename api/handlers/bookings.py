"""Bookings: the hot path, and what one does with a booking afterwards."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.answers import PERSONAL, answer, answer_made, answer_page
from api.http import (
    PRINCIPAL,
    SERVICES,
    idempotency_key,
    page_limit,
    page_start,
    read_body,
    read_raw,
    wanted_durability,
)
from api.problems import Problem
from api.schemas import BookingPage
from api.wishes import receive, refuse
from engine.outcomes import Refused
from usecases import bookings
from usecases.asked import CancelBooking

_CANCEL = msgspec.json.Decoder(CancelBooking)


async def book(request: web.Request) -> web.StreamResponse | Problem:
    """
    Book places at once.

    Answers when the booking is on Redis's disk, or where `Prefer` asks for it to be. Repeating
    the request with the same Idempotency-Key gives the same booking, with the header
    `Idempotent-Replayed: true`: its items, version and status as they are then, and 200 instead of
    201 if it was cancelled meanwhile. A key is good for as long as the event is kept.
    """
    key = idempotency_key(request)
    wish = await receive(request)
    services, wanted = request.app[SERVICES], wanted_durability(request)
    made = await bookings.book(services, request[PRINCIPAL], wish, key, wanted)
    if isinstance(made, Refused):
        return refuse(wish, made)
    # What the buyer wrote is in the request, equal to the first one's by fingerprint.
    return answer_made(made, wish.order.special_requests, wish.order.metadata)


async def read(request: web.Request) -> web.StreamResponse | Problem:
    """Read one booking of one's own."""
    own_id = request.match_info["booking_id"]
    told = await bookings.read(request.app[SERVICES], request[PRINCIPAL], own_id)
    return answer(told, headers=PERSONAL)


async def listing(request: web.Request) -> web.StreamResponse | Problem:
    """List one's bookings, newest first."""
    limit, before = page_limit(request), page_start(request)
    page = await bookings.mine(
        request.app[SERVICES], request[PRINCIPAL], before=before, limit=limit
    )
    return answer_page(request, BookingPage, page, PERSONAL)


async def cancel(request: web.Request) -> web.StreamResponse | Problem:
    """
    Cancel a booking of one's own, or some of its places; they are on sale again at once.

    Without a body all of it; else tickets, seats, or so many of some tiers. A ticket on which
    somebody is in stays, and so does one that was given away, unless the event's `transfers` say
    that it is still the buyer's. May be repeated: a second cancellation changes nothing and gives
    the same answer.
    """
    services, person = request.app[SERVICES], request[PRINCIPAL]
    own_id = request.match_info["booking_id"]
    if await read_raw(request):
        asked = await read_body(request, _CANCEL)
        done = await bookings.cancel_places(services, person, own_id, asked)
    else:
        done = await bookings.cancel(services, person, own_id)
    return answer(done, headers=PERSONAL)
