"""Accounts: register, log in, see oneself."""

from __future__ import annotations

import re

import msgspec
from aiohttp import web

from api.http import PERSONAL, PRINCIPAL, answer, read_body
from api.problems import Problem, invalid, not_found
from api.schemas import Login, Me, Register, Token
from api.services import SERVICES, Services
from api.tokens import Principal
from store import users

_REGISTER = msgspec.json.Decoder(Register)
_LOGIN = msgspec.json.Decoder(Login)
#: Enough to catch a slip; whether an address exists, only a mail to it can tell.
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f<>\"(),:;\\\[\]]+@[A-Za-z0-9.-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


async def register(request: web.Request) -> web.StreamResponse:
    """Make an account; answer with an access token for it."""
    body = await read_body(request, _REGISTER)
    services = request.app[SERVICES]
    if not _EMAIL.fullmatch(body.email):
        raise invalid("/email", "is not an e-mail address")
    if _CONTROL.search(body.name) or not body.name.strip():
        raise invalid("/name", "must be visible text")
    user_id = await users.add(
        services.pool,
        email=body.email,
        name=body.name,
        password_hash=await services.passwords.hash(body.password),
    )
    if user_id is None:
        raise Problem(
            409,
            "email_taken",
            "There is an account with this address.",
            errors=[("/email", "has an account")],
        )
    return _token(services, Principal(user_id, "user", None), status=201)


async def login(request: web.Request) -> web.StreamResponse:
    """Exchange address and password for an access token."""
    body = await read_body(request, _LOGIN)
    services = request.app[SERVICES]
    user = None if "\0" in body.email else await users.by_email(services.pool, body.email)
    matches = await services.passwords.verify(
        body.password, user.password_hash if user is not None else None
    )
    if user is None or not matches:
        raise Problem(401, "wrong_credentials", "Address or password is wrong.")
    return _token(services, Principal(user.id, user.role, user.organizer_id))


async def me(request: web.Request) -> web.StreamResponse:
    """Return the caller's account."""
    user = await users.by_id(request.app[SERVICES].pool, request[PRINCIPAL].user_id)
    if user is None:
        raise not_found()
    return answer(
        Me(
            id=user.id,
            email=user.email,
            name=user.name,
            role=user.role,  # type: ignore[arg-type]  # The database's enum has the same values.
            created_at=user.created_at,
        ),
        headers=PERSONAL,
    )


def _token(services: Services, principal: Principal, *, status: int = 200) -> web.StreamResponse:
    token = Token(access_token=services.tokens.issue(principal), expires_in=services.tokens.ttl_s)
    return answer(token, status=status, headers=PERSONAL)
