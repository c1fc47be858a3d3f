"""Accounts: register, log in, see oneself."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.addresses import origin_of
from api.answers import PERSONAL, answer, problem_of
from api.http import PRINCIPAL, SERVICES, read_body
from api.problems import Problem
from api.schemas import Token
from usecases import accounts
from usecases.asked import Login, Register
from usecases.denials import Denied
from usecases.tokens import Principal

_REGISTER = msgspec.json.Decoder(Register)
_LOGIN = msgspec.json.Decoder(Login)


async def register(request: web.Request) -> web.StreamResponse | Problem:
    """
    Make an account; answer with an access token for it.

    From one address only so many are made within a while.
    """
    asked = await read_body(request, _REGISTER)
    person = await accounts.register(request.app[SERVICES], asked, origin_of(request))
    return _token(request, person, status=201)


async def login(request: web.Request) -> web.StreamResponse | Problem:
    """
    Exchange address and password for an access token.

    Only so many passwords may be missed within a while, of one account and from one address; then
    the right one is refused as well, but for places from where the account was signed in to before.
    """
    asked = await read_body(request, _LOGIN)
    person = await accounts.login(request.app[SERVICES], asked, origin_of(request))
    return _token(request, person)


async def me(request: web.Request) -> web.StreamResponse | Problem:
    """Return the caller's account."""
    told = await accounts.me(request.app[SERVICES], request[PRINCIPAL])
    return answer(told, headers=PERSONAL)


def _token(
    request: web.Request, person: Principal | Denied, *, status: int = 200
) -> web.StreamResponse | Problem:
    if isinstance(person, Denied):
        return problem_of(person)
    tokens = request.app[SERVICES].tokens
    token = Token(access_token=tokens.issue(person), expires_in=tokens.ttl_s)
    return answer(token, status=status, headers=PERSONAL)
