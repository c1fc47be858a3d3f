"""Holds: places set aside until a deadline, then confirmed, released, or over."""

from __future__ import annotations

from aiohttp import web

from api.addresses import origin_of
from api.answers import PERSONAL, answer, answer_made, answer_nothing, problem_of
from api.http import PRINCIPAL, SERVICES, idempotency_key, wanted_durability
from api.problems import Problem
from api.wishes import receive, refuse
from engine.outcomes import Refused
from usecases import holds
from usecases.denials import Denied
from usecases.orders import detail_of
from usecases.services import Services
from usecases.tokens import Principal


async def create(request: web.Request) -> web.StreamResponse | Problem:
    """
    Set places aside.

    They are yours until `expires_at`, which is sooner where little is left; confirm before. One
    person, and one address, may have so many open at a time. Repeating the request with the same
    Idempotency-Key gives the same hold, as it is then. A key is good until a day after the hold
    ended.
    """
    key = idempotency_key(request)
    wish = await receive(request)
    services, wanted = request.app[SERVICES], wanted_durability(request)
    person, origin = request[PRINCIPAL], origin_of(request)
    done = await holds.hold(services, person, wish, key, wanted, origin)
    if isinstance(done, Refused):
        return refuse(wish, done)
    if isinstance(done, Denied):
        return problem_of(done)
    location = {"Location": f"/v1/holds/{done.told.id}"}
    return answer(done, status=201, headers=location | PERSONAL)


async def read(request: web.Request) -> web.StreamResponse | Problem:
    """Read a hold of one's own; what became of it is remembered for a day."""
    return answer(await holds.read(*_own(request)), headers=PERSONAL)


async def confirm(request: web.Request) -> web.StreamResponse | Problem:
    """
    Turn a hold of one's own into a booking.

    Late is not too late while the places are still there for the price that was promised, and the
    rules of the sale let you have them now. May be repeated: the booking, as it is then, is the
    answer to every further confirmation; 200 instead of 201 if it was cancelled meanwhile.
    """
    confirmed = await holds.confirm(*_own(request), wanted_durability(request))
    if isinstance(confirmed, Denied):
        return problem_of(confirmed)
    made, detail = confirmed
    return answer_made(made, *detail_of(detail))


async def extend(request: web.Request) -> web.StreamResponse | Problem:
    """Move the deadline of a hold of one's own, up to the longest life of a hold."""
    return answer(await holds.extend(*_own(request)), headers=PERSONAL)


async def release(request: web.Request) -> web.StreamResponse | Problem:
    """Give a hold of one's own back. May be repeated; a hold that is over stays over."""
    return answer_nothing(await holds.release(*_own(request)))


def _own(request: web.Request) -> tuple[Services, Principal, str]:
    return request.app[SERVICES], request[PRINCIPAL], request.match_info["hold_id"]
