"""Tickets: the key that verifies them, check-in and its undoing, and giving them away."""

from __future__ import annotations

from typing import Literal

import msgspec
from aiohttp import web

from api.answers import PERSONAL, answer, answer_page
from api.http import PRINCIPAL, SERVICES, page_limit, page_start, read_body, read_raw
from api.problems import Problem
from api.schemas import TicketKey, TicketKeys, TicketPage
from usecases import gate, tickets
from usecases.asked import Gate, Transfer

_GATE = msgspec.json.Decoder(Gate)
_TRANSFER = msgspec.json.Decoder(Transfer)
_PUBLIC = {"Cache-Control": "public, max-age=300"}


async def keys(request: web.Request) -> web.StreamResponse | Problem:
    """Return the keys that verify ticket codes, also without a network."""
    codes = request.app[SERVICES].ticket_codes
    body = TicketKeys(data=[TicketKey(key_id=codes.key_id, public_key=codes.public_key)])
    return answer(body, headers=_PUBLIC)


async def check_in(request: web.Request) -> web.StreamResponse | Problem:
    """
    Let the bearer of a ticket in, once.

    A second scan is refused and says when and where the first was; so does a repetition of a
    request whose answer was lost.
    """
    return await _scan(request, "checked_in")


async def undo(request: web.Request) -> web.StreamResponse | Problem:
    """Take a check-in back, so that the ticket passes again. May be repeated."""
    return await _scan(request, "valid")


async def transfer(request: web.Request) -> web.StreamResponse | Problem:
    """
    Give a ticket to another person, who must have an account.

    From then on only the new holder sees its code; the old one no longer passes. Whoever booked
    it may still cancel the booking, and the place still counts against their limit.
    """
    asked = await read_body(request, _TRANSFER)
    ticket_id = request.match_info["ticket_id"]
    done = await gate.transfer(request.app[SERVICES], request[PRINCIPAL], ticket_id, asked)
    return answer(done, headers=PERSONAL)


async def listing(request: web.Request) -> web.StreamResponse | Problem:
    """List the tickets that others gave to the caller, the latest changed first."""
    limit, before = page_limit(request), page_start(request)
    page = await tickets.given(
        request.app[SERVICES], request[PRINCIPAL], before=before, limit=limit
    )
    return answer_page(TicketPage, page, PERSONAL)


async def _scan(
    request: web.Request, wanted: Literal["checked_in", "valid"]
) -> web.StreamResponse | Problem:
    where = (await read_body(request, _GATE)).gate if await read_raw(request) else None
    services, code = request.app[SERVICES], request.match_info["code"]
    done = await gate.scan(services, request[PRINCIPAL], code, where, wanted)
    return answer(done, headers=PERSONAL)
