"""Accounts: register, sign in, see and change oneself."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.addresses import origin_of
from api.answers import PERSONAL, answer, answer_nothing, problem_of
from api.http import PRINCIPAL, SERVICES, device_of, read_body
from api.problems import Problem
from usecases import accounts
from usecases.asked import (
    Address,
    LetterToken,
    Login,
    MeChange,
    NewEmail,
    NewPassword,
    PasswordChange,
    Register,
)
from usecases.denials import Denied

_REGISTER = msgspec.json.Decoder(Register)
_LOGIN = msgspec.json.Decoder(Login)
_ME_CHANGE = msgspec.json.Decoder(MeChange)
_PASSWORD_CHANGE = msgspec.json.Decoder(PasswordChange)
_ADDRESS = msgspec.json.Decoder(Address)
_NEW_PASSWORD = msgspec.json.Decoder(NewPassword)
_NEW_EMAIL = msgspec.json.Decoder(NewEmail)
_LETTER_TOKEN = msgspec.json.Decoder(LetterToken)


async def register(request: web.Request) -> web.StreamResponse | Problem:
    """
    Make an account and sign in.

    The answer does not tell whether the address has an account: a letter to it does, and asks to
    prove the address (`POST /v1/me/email/verify`). From one address of the network only so many
    accounts are made within a while.
    """
    asked = await read_body(request, _REGISTER)
    made = await accounts.register(
        request.app[SERVICES], asked, origin_of(request), device_of(request)
    )
    return answer(made, status=201, headers=PERSONAL)


async def login(request: web.Request) -> web.StreamResponse | Problem:
    """
    Sign in with address and password: a session begins.

    Only so many passwords may be missed within a while, of one account and from one address; then
    the right one is refused as well, but for places from where the account was signed in to before.
    """
    asked = await read_body(request, _LOGIN)
    services, origin = request.app[SERVICES], origin_of(request)
    made = await accounts.login(services, asked, origin, device_of(request))
    return answer(made, headers=PERSONAL)


async def me(request: web.Request) -> web.StreamResponse | Problem:
    """Return the caller's account."""
    told = await accounts.me(request.app[SERVICES], request[PRINCIPAL])
    return answer(told, headers=PERSONAL)


async def change(request: web.Request) -> web.StreamResponse | Problem:
    """Change one's name or language; what is not named stays."""
    asked = await read_body(request, _ME_CHANGE)
    told = await accounts.change(request.app[SERVICES], request[PRINCIPAL], asked)
    return answer(told, headers=PERSONAL)


async def change_password(request: web.Request) -> web.StreamResponse | Problem:
    """
    Choose another password.

    Who has none yet leaves the current one out, and has signed in within ten minutes. All sessions
    and access tokens are over by that, also the one of the request: the answer has a new session.
    """
    asked = await read_body(request, _PASSWORD_CHANGE)
    services, person = request.app[SERVICES], request[PRINCIPAL]
    origin, device = origin_of(request), device_of(request)
    made = await accounts.change_password(services, person, asked, origin, device)
    return answer(made, headers=PERSONAL)


async def forget_password(request: web.Request) -> web.StreamResponse | Problem:
    """
    Ask for a letter that lets one choose a password.

    The answer does not tell whether the address has an account.
    """
    asked = await read_body(request, _ADDRESS)
    services = request.app[SERVICES]
    return _accepted(await accounts.forget_password(services, asked, origin_of(request)))


async def reset_password(request: web.Request) -> web.StreamResponse | Problem:
    """
    Choose a password with the token of a letter.

    All sessions and access tokens of the account are over, and its address is proved; then log in.
    """
    asked = await read_body(request, _NEW_PASSWORD)
    return answer_nothing(await accounts.reset_password(request.app[SERVICES], asked))


async def ask_for_proof(request: web.Request) -> web.StreamResponse | Problem:
    """Ask once more for the letter that proves one's address; none is written if it is proved."""
    services, person = request.app[SERVICES], request[PRINCIPAL]
    return _accepted(await accounts.ask_for_proof(services, person, origin_of(request)))


async def change_email(request: web.Request) -> web.StreamResponse | Problem:
    """
    Ask for a letter to another address, which is one's own once its token is sent.

    Bring the password, or sign in anew and ask within ten minutes. The answer does not tell whether
    the address has an account.
    """
    asked = await read_body(request, _NEW_EMAIL)
    services, person = request.app[SERVICES], request[PRINCIPAL]
    return _accepted(await accounts.change_email(services, person, asked, origin_of(request)))


async def prove(request: web.Request) -> web.StreamResponse | Problem:
    """
    Send the token of a letter: the address that it went to is one's own, and proved.

    From the account that asked for the letter, and no other.
    """
    asked = await read_body(request, _LETTER_TOKEN)
    told = await accounts.prove(request.app[SERVICES], request[PRINCIPAL], asked)
    return answer(told, headers=PERSONAL)


def _accepted(told: Denied | None) -> web.StreamResponse | Problem:
    """Answer that what there is to do will be done, whatever that is."""
    return problem_of(told) if told is not None else web.Response(status=202, headers=PERSONAL)
