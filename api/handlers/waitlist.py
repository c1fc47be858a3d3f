"""The waitlist: wait for places that return, see where one stands, accept or decline an offer."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.answers import PERSONAL, answer, answer_made, answer_nothing, answer_page, problem_of
from api.http import (
    PRINCIPAL,
    SERVICES,
    idempotency_key,
    page_limit,
    page_start,
    read_body,
    wanted_durability,
)
from api.problems import Problem
from api.schemas import WaitlistPage
from usecases import waitlist
from usecases.asked import Join
from usecases.denials import Denied
from usecases.services import Services
from usecases.tokens import Principal

_JOIN = msgspec.json.Decoder(Join)


async def join(request: web.Request) -> web.StreamResponse | Problem:
    """
    Wait for places of a tier, for the whole party or none.

    Places that return are offered in the order of joining, by the event's policy. Repeating the
    request with the same Idempotency-Key gives the same entry, as it is then. A key is good for as
    long as the event is kept.
    """
    key, asked = idempotency_key(request), await read_body(request, _JOIN)
    done = await waitlist.join(*_own(request, "event_id"), key, asked)
    if isinstance(done, Denied):
        return problem_of(done)
    location = {"Location": f"/v1/waitlist/{done.told.id}"}
    return answer(done, status=201, headers=location | PERSONAL)


async def listing(request: web.Request) -> web.StreamResponse | Problem:
    """List one's entries, newest first, each as it is now."""
    limit, before = page_limit(request), page_start(request)
    page = await waitlist.mine(
        request.app[SERVICES], request[PRINCIPAL], before=before, limit=limit
    )
    return answer_page(request, WaitlistPage, page, PERSONAL)


async def read(request: web.Request) -> web.StreamResponse | Problem:
    """Read an entry of one's own: where it stands, or what it was offered."""
    return answer(await waitlist.read(*_own(request, "entry_id")), headers=PERSONAL)


async def leave(request: web.Request) -> web.StreamResponse | Problem:
    """Leave the waitlist; an offer is declined by it. May be repeated."""
    return answer_nothing(await waitlist.leave(*_own(request, "entry_id")))


async def accept(request: web.Request) -> web.StreamResponse | Problem:
    """
    Turn an offer of one's own into a booking.

    An offer is used once: after its deadline the places are the next one's. May be repeated: the
    booking, as it is then, is the answer to every further acceptance; 200 instead of 201 if it was
    cancelled meanwhile.
    """
    made = await waitlist.accept(*_own(request, "offer_id"), wanted_durability(request))
    return answer_made(made, "", {})


async def decline(request: web.Request) -> web.StreamResponse | Problem:
    """Give an offer of one's own back, for good; the next who waits gets the places."""
    return answer(await waitlist.decline(*_own(request, "offer_id")), headers=PERSONAL)


def _own(request: web.Request, name: str) -> tuple[Services, Principal, str]:
    return request.app[SERVICES], request[PRINCIPAL], request.match_info[name]
