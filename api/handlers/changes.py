"""What organizers do to an event that is being sold: change, close, reopen, cancel."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.answers import answer
from api.handlers.events import answer_event, own
from api.http import read_body
from api.problems import Problem
from usecases import changes
from usecases.asked import EventChange, Postponement, Reopening
from usecases.denials import Denied, Why

_CHANGE = msgspec.json.Decoder(EventChange)
_POSTPONEMENT = msgspec.json.Decoder(Postponement)
_REOPENING = msgspec.json.Decoder(Reopening)
_NO_STORE = {"Cache-Control": "no-store"}


async def change(request: web.Request) -> web.StreamResponse | Problem:
    """
    Change an event, also while it is sold: then for orders from now on.

    Needs `If-Match` with the event's ETag, so that nobody overwrites what they have not seen. All
    that is asked for changes, or nothing; capacities never below what is sold, held and blocked.
    That of a tier with seats is the number of its seats. Who has booked or holds places keeps the
    price that was shown; a hold that is over is confirmed at that price or not at all. Currency,
    seats, whether a tier is hidden and what a promo code takes off stay as they were made.
    """
    asked, given = await read_body(request, _CHANGE), request.headers.get("If-Match")
    told = await changes.change(*own(request), given and given.strip().strip('"'), asked)
    if isinstance(told, Denied) and told.why in {Why.VERSION_WANTED, Why.VERSION_PASSED}:
        how = "must be" if told.why is Why.VERSION_WANTED else "is not"
        told = Denied(told.why, ("/headers/If-Match", f"{how} the event's ETag"))
    return answer_event(told)


async def postpone(request: web.Request) -> web.StreamResponse | Problem:
    """
    Put a published event off to a later start; bookings stay, and `postponed_from` tells the first.

    With the start move the end and the doors, and the end of a sale that ended with it. The event
    goes on being sold. May be repeated.
    """
    asked = await read_body(request, _POSTPONEMENT)
    return answer_event(await changes.postpone(*own(request), asked))


async def close(request: web.Request) -> web.StreamResponse | Problem:
    """End the sale now; live holds may still be confirmed. May be repeated."""
    return answer_event(await changes.close(*own(request)))


async def reopen(request: web.Request) -> web.StreamResponse | Problem:
    """Sell on until a later time. May be repeated."""
    asked = await read_body(request, _REOPENING)
    return answer_event(await changes.reopen(*own(request), asked.sale_closes_at))


async def cancel(request: web.Request) -> web.StreamResponse | Problem:
    """
    Call the event off, for good. Nobody gets a place from now on.

    All holds and bookings end in bounded steps: those of a small event before the answer, the
    others afterwards, even if this process ends. May be repeated.
    """
    return answer(await changes.cancel(*own(request)), status=202, headers=_NO_STORE)


async def cancellation(request: web.Request) -> web.StreamResponse | Problem:
    """Tell how many places of a cancelled event are still to be given back."""
    return answer(await changes.cancellation(*own(request)), headers=_NO_STORE)
