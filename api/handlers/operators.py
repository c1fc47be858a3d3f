"""For admins: accounts and organizers."""

from __future__ import annotations

import datetime as dt

import msgspec
from aiohttp import web

from api.answers import PERSONAL, answer, answer_page
from api.http import PRINCIPAL, SERVICES, page_limit, page_start, query_once, query_text, read_body
from api.problems import Problem, invalid
from api.schemas import AccountPage, OrganizerPage
from usecases import operators
from usecases.asked import AccountChange, NewOrganizer

_CHANGE = msgspec.json.Decoder(AccountChange)
_NEW_ORGANIZER = msgspec.json.Decoder(NewOrganizer)
_FIRST = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "")
_ROLES = ("user", "staff", "organizer", "admin")


async def search(request: web.Request) -> web.StreamResponse | Problem:
    """List accounts, those made first first; `q` is part of an address or name, or an id."""
    role = query_once(request, "role")
    if role is not None and role not in _ROLES:
        raise invalid("/query/role", f"must be one of {', '.join(_ROLES)}")
    page = await operators.search(
        request.app[SERVICES],
        text=query_text(request, "q"),
        role=role,
        after=page_start(request, _FIRST)[1],
        limit=page_limit(request),
    )
    return answer_page(request, AccountPage, page, PERSONAL)


async def read(request: web.Request) -> web.StreamResponse | Problem:
    """Read an account, and the teams it is on."""
    found = await operators.read(request.app[SERVICES], request.match_info["user_id"])
    return answer(found, headers=PERSONAL)


async def change(request: web.Request) -> web.StreamResponse | Problem:
    """
    Make an account a user, staff or organizer of an organizer, or an admin.

    There is always an admin, and each organizer keeps an owner. May be repeated.
    """
    asked = await read_body(request, _CHANGE)
    services, person = request.app[SERVICES], request[PRINCIPAL]
    done = await operators.change(services, person, request.match_info["user_id"], asked)
    return answer(done, headers=PERSONAL)


async def disable(request: web.Request) -> web.StreamResponse | Problem:
    """Keep an account out: it cannot log in, and its role counts no more. May be repeated."""
    return await _set_disabled(request, is_disabled=True)


async def enable(request: web.Request) -> web.StreamResponse | Problem:
    """Let an account in again, as what it was. May be repeated."""
    return await _set_disabled(request, is_disabled=False)


async def find_organizers(request: web.Request) -> web.StreamResponse | Problem:
    """List organizers, those made first first; `q` is part of a name, or an id."""
    page = await operators.find_organizers(
        request.app[SERVICES],
        text=query_text(request, "q"),
        after=page_start(request, _FIRST)[1],
        limit=page_limit(request),
    )
    return answer_page(request, OrganizerPage, page, PERSONAL)


async def add_organizer(request: web.Request) -> web.StreamResponse | Problem:
    """Add an organizer, with an owner if one is named."""
    asked = await read_body(request, _NEW_ORGANIZER)
    made = await operators.add_organizer(request.app[SERVICES], request[PRINCIPAL], asked)
    return answer(made, status=201, headers=PERSONAL)


async def _set_disabled(request: web.Request, *, is_disabled: bool) -> web.StreamResponse | Problem:
    services, person = request.app[SERVICES], request[PRINCIPAL]
    user_id = request.match_info["user_id"]
    told = await operators.set_disabled(services, person, user_id, is_disabled=is_disabled)
    return answer(told, headers=PERSONAL)
