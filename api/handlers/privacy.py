"""One's own data: all of it, and its end; and the log of acts, for admins."""

from __future__ import annotations

import datetime as dt

import msgspec
from aiohttp import hdrs, web

from api.addresses import origin_of
from api.answers import PERSONAL, answer, answer_page, problem_of
from api.http import PRINCIPAL, SERVICES, page_limit, page_start, query_line, read_body
from api.lean import JSON
from api.problems import Problem
from api.schemas import ActPage
from usecases import acts, privacy
from usecases.asked import Erase
from usecases.denials import Denied

_ERASE = msgspec.json.Decoder(Erase)


async def export(request: web.Request) -> web.StreamResponse | Problem:
    """
    Return all that is kept of the caller, every table, as one JSON document.

    It is sent as it is read, and may be long; one that breaks off is no whole document. Some may be
    had in an hour.
    """
    person = request[PRINCIPAL]
    found = await privacy.export(request.app[SERVICES], person)
    if isinstance(found, Denied):
        return problem_of(found)
    name = f'attachment; filename="evently-{person.user_id}.json"'
    body = privacy.document(found, person.user_id, dt.datetime.now(dt.UTC))
    return web.Response(
        body=body, content_type=JSON, headers=PERSONAL | {hdrs.CONTENT_DISPOSITION: name}
    )


async def erase(request: web.Request) -> web.StreamResponse | Problem:
    """
    Forget the caller: name, address and password are gone, the address is free; sessions, API keys
    and places on teams end.

    Needs the password once more, or a sign-in within ten minutes. While there are live bookings of
    events to come it must be said whether they are given back or stay good. What remains is told in
    docs/PRIVACY.md: bookings of an id that leads to nobody. What one wrote beside orders is taken
    out of the ledger's texts within days.
    """
    asked = await read_body(request, _ERASE)
    services, person = request.app[SERVICES], request[PRINCIPAL]
    done = await privacy.erase(services, person, asked, origin_of(request))
    return answer(done, headers=PERSONAL)


async def audit(request: web.Request) -> web.StreamResponse | Problem:
    """
    List what staff, organizers, admins and operators did, the newest first.

    Filter by `actor` and `subject`, both ids, and by `act`, as `event.close`. Scans at the gate are
    in it as soon as PostgreSQL has them.
    """
    page = await acts.listing(
        request.app[SERVICES],
        before=page_start(request),
        actor=query_line(request, "actor"),
        subject=query_line(request, "subject"),
        act=query_line(request, "act"),
        limit=page_limit(request),
    )
    return answer_page(request, ActPage, page, PERSONAL)
