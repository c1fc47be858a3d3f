"""Sessions: stay signed in, see where one is, and end it."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.answers import PERSONAL, answer, answer_nothing, problem_of
from api.http import PRINCIPAL, SERVICES, decode, optional_key, read_body, read_raw
from api.problems import Problem
from api.schemas import SignedInList
from usecases import sessions
from usecases.asked import Logout, Refresh
from usecases.denials import Denied

_REFRESH = msgspec.json.Decoder(Refresh)
_LOGOUT = msgspec.json.Decoder(Logout)


async def refresh(request: web.Request) -> web.StreamResponse | Problem:
    """
    Exchange a refresh token, which is good once, for an access token and the next refresh token.

    A refresh token that is sent again ends its session, for it may have been copied; but the same
    request sent again with the same Idempotency-Key gets the same next token. Send one.
    """
    key, asked = optional_key(request), await read_body(request, _REFRESH)
    made = await sessions.refresh(request.app[SERVICES], asked.refresh_token, key)
    return answer(made, headers=PERSONAL)


async def log_out(request: web.Request) -> web.StreamResponse | Problem:
    """
    End a session: that of the refresh token in the body, else that of the access token.

    Its access tokens are over within a second, everywhere. With a refresh token it may be repeated.
    """
    raw = await read_raw(request)
    asked = decode(raw, _LOGOUT) if raw else Logout()
    person = request.get(PRINCIPAL)
    return answer_nothing(
        await sessions.log_out(request.app[SERVICES], person, asked.refresh_token)
    )


async def listing(request: web.Request) -> web.StreamResponse | Problem:
    """List where one is signed in, the last used first."""
    found = await sessions.mine(request.app[SERVICES], request[PRINCIPAL])
    if isinstance(found, Denied):
        return problem_of(found)
    return answer(SignedInList(data=found), headers=PERSONAL)


async def end(request: web.Request) -> web.StreamResponse | Problem:
    """End one of one's sessions; its access tokens are over within a second, everywhere."""
    session_id = request.match_info["id"]
    return answer_nothing(await sessions.end(request.app[SERVICES], request[PRINCIPAL], session_id))


async def end_others(request: web.Request) -> web.StreamResponse | Problem:
    """End all of one's sessions but the one that asks. May be repeated."""
    return answer_nothing(await sessions.end_others(request.app[SERVICES], request[PRINCIPAL]))
