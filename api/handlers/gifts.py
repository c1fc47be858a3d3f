"""Tickets that are given away: to an account, to an address, and back."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.answers import PERSONAL, answer, answer_nothing, answer_page
from api.http import PRINCIPAL, SERVICES, page_limit, page_start, read_body
from api.problems import Problem
from api.schemas import GiftPage
from usecases import gifts
from usecases.asked import Transfer

_TRANSFER = msgspec.json.Decoder(Transfer)


async def transfer(request: web.Request) -> web.StreamResponse | Problem:
    """
    Give a ticket to an account, at once, or offer it to an address.

    Once it is given, only the new holder sees its code; the old one no longer passes. The event's
    `transfers` say whether whoever booked it may still cancel it; the place counts against their
    limit all the same. A ticket that is offered (`gift`) stays its giver's until whoever has proved
    the address accepts it; nobody learns from that whether the address has an account.
    """
    asked = await read_body(request, _TRANSFER)
    ticket_id = request.match_info["ticket_id"]
    done = await gifts.transfer(request.app[SERVICES], request[PRINCIPAL], ticket_id, asked)
    return answer(done, headers=PERSONAL)


async def give_back(request: web.Request) -> web.StreamResponse | Problem:
    """
    Give a ticket that one was given back to who booked it. May be repeated.

    It is then theirs as if it had never been given away: only they see its code, and they may
    cancel it.
    """
    ticket_id = request.match_info["ticket_id"]
    done = await gifts.give_back(request.app[SERVICES], request[PRINCIPAL], ticket_id)
    return answer(done, headers=PERSONAL)


async def listing(request: web.Request) -> web.StreamResponse | Problem:
    """List the tickets that one offers, and those offered to the address that one has proved."""
    limit, before = page_limit(request), page_start(request)
    page = await gifts.mine(request.app[SERVICES], request[PRINCIPAL], before=before, limit=limit)
    return answer_page(request, GiftPage, page, PERSONAL)


async def accept(request: web.Request) -> web.StreamResponse | Problem:
    """
    Accept a ticket that is offered to the address that one has proved. May be repeated.

    From then on it is the caller's, and the giver's code no longer passes.
    """
    gift_id = request.match_info["gift_id"]
    done = await gifts.accept(request.app[SERVICES], request[PRINCIPAL], gift_id)
    return answer(done, headers=PERSONAL)


async def end(request: web.Request) -> web.StreamResponse | Problem:
    """Take back a ticket that one offers, or decline one that one is offered."""
    gift_id = request.match_info["gift_id"]
    return answer_nothing(await gifts.end(request.app[SERVICES], request[PRINCIPAL], gift_id))
