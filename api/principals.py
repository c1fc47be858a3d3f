"""
Who calls: a person by an access token, an integration by an API key, a gate by a device's token.

A person's token that was checked before is one dictionary look-up (`Tokens.known`); all else is
asked for here. What a key or a device may call, and at whose events, is decided here as well, so
that no handler has to tell them from people.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from api.http import SERVICES
from api.problems import Problem, not_found, unavailable
from engine.errors import KeysUnknown
from engine.ids import is_id
from usecases.bearers import BEGINNINGS, DEVICE_SCOPES
from usecases.revocations import Revocations
from usecases.services import Services
from usecases.tokens import InvalidToken, Principal

_SCHEME = "Bearer "
#: Methods that change nothing.
_SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})


def bearer(request: web.Request) -> str | None:
    """
    Return what the request brings as `Authorization: Bearer ...`; None if it brings nothing.

    Raises:
        Problem: 401 if it is of another scheme.
    """
    header = request.headers.get(hdrs.AUTHORIZATION)
    if header is None:
        return None
    # The scheme's name has no case (RFC 9110 section 11.1).
    if not header.startswith(_SCHEME) and header[: len(_SCHEME)].lower() != _SCHEME.lower():
        raise unauthorized("Only the scheme Bearer is known.")
    return header[len(_SCHEME) :].lstrip(" ")


async def find(services: Services, text: str) -> Principal:
    """
    Return who brings *text*, whatever kind it is of.

    Raises:
        Problem: 401 if it is not good.

        UNANSWERED: nobody can tell, since PostgreSQL has not answered for too long.
    """
    if text.startswith(BEGINNINGS):
        found = await services.bearers.find(text)
        if found is None:
            raise unauthorized("The key is not valid, or no longer.")
        return found
    try:
        try:
            return services.tokens.check(text)
        except KeysUnknown:
            await services.keyring.refresh()
            return services.tokens.check(text)
    except InvalidToken as error:
        raise unauthorized("The access token is not valid, or no longer.") from error


def require_current(request: web.Request, revocations: Revocations, principal: Principal) -> None:
    """
    Let a person through whose access token is not over before its time (S4).

    Raises:
        Problem: 401 if it is, 503 if nobody knows and the request may change something.
    """
    if revocations.is_over(principal):
        raise unauthorized("The access token is not valid, or no longer.")
    if revocations.is_shut and request.method not in _SAFE:
        raise unavailable("database_unavailable")


async def reaches(request: web.Request, principal: Principal, scopes: frozenset[str]) -> None:
    """
    Let a key or a device through to a route.

    Args:
        scopes: Those that open the route.

    Raises:
        Problem: 403 if none of its scopes opens it, 404 if the event is not its organizer's.
    """
    if not principal.scopes & scopes:
        challenge = 'Bearer realm="evently", error="insufficient_scope"'
        if wanted := " ".join(sorted(scopes - DEVICE_SCOPES)):
            challenge += f', scope="{wanted}"'
        raise Problem(
            403,
            "insufficient_scope",
            "The key was not made for this.",
            headers={"WWW-Authenticate": challenge},
        )
    event_id = request.match_info.get("event_id")
    if event_id is None:  # What has no event in its path is the bearer's own, or names one inside.
        return
    known = None
    if is_id("evt", event_id) and principal.event_id in {None, event_id}:
        known = await request.app[SERVICES].catalog.find(event_id)
    if known is None or known.organizer_id != principal.organizer_id:
        raise not_found()


def unauthorized(detail: str) -> Problem:
    """Return the answer to who brings nothing that is good."""
    return Problem(
        401,
        "unauthorized",
        "The request is not authorized.",
        detail=detail,
        errors=[("/headers/Authorization", detail)],
        headers={"WWW-Authenticate": 'Bearer realm="evently"'},
    )
