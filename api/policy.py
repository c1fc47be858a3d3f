"""
Who may call a route: one of these policies stands at every route, and is enforced here.

Whether a thing belongs to the caller is the use case's question; to others it is not there, so that
nobody learns what exists (S8, S9).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum

from aiohttp import hdrs, web

from api.http import PRINCIPAL, SERVICES
from api.problems import Problem
from usecases.tokens import InvalidToken, Principal

#: A problem may be returned as well as raised: most of a rush is told that it is sold out.
Handler = Callable[[web.Request], Awaitable[web.StreamResponse | Problem]]
_SCHEME = "Bearer "


class Policy(Enum):
    """Who may call."""

    #: Anybody; a token is looked at if there is one.
    PUBLIC = "public"
    #: Anybody with an account.
    USER = "user"
    #: Staff, organizers and admins.
    STAFF = "staff"
    #: Organizers and admins.
    ORGANIZER = "organizer"
    #: Machines that watch the service; keep them from the public by the proxy in front.
    OPS = "ops"


_ORGANIZERS = frozenset({"organizer", "admin"})
_STAFF = _ORGANIZERS | {"staff"}


def enforce(policy: Policy, handler: Handler) -> Handler:
    """Return *handler* behind *policy*."""
    if policy is Policy.OPS:
        return handler

    async def guarded(request: web.Request) -> web.StreamResponse | Problem:
        try:
            principal = _principal(request)
        except Problem:
            # A stale token must not keep anybody from what is everybody's, such as the login.
            if policy is not Policy.PUBLIC:
                raise
            principal = None
        if principal is None:
            if policy is not Policy.PUBLIC:
                raise _unauthorized("The request needs an access token.")
        else:
            if policy is Policy.STAFF and principal.role not in _STAFF:
                raise _forbidden(principal)
            if policy is Policy.ORGANIZER and principal.role not in _ORGANIZERS:
                raise _forbidden(principal)
            request[PRINCIPAL] = principal
        return await handler(request)

    return guarded


def _principal(request: web.Request) -> Principal | None:
    header = request.headers.get(hdrs.AUTHORIZATION)
    if header is None:
        return None
    # The scheme's name has no case (RFC 9110 section 11.1).
    if not header.startswith(_SCHEME) and header[: len(_SCHEME)].lower() != _SCHEME.lower():
        raise _unauthorized("Only the scheme Bearer is known.")
    try:
        return request.app[SERVICES].tokens.check(header[len(_SCHEME) :].lstrip(" "))
    except InvalidToken as error:
        raise _unauthorized("The access token is not valid, or no longer.") from error


def _forbidden(principal: Principal) -> Problem:
    if principal.lacks_passkey:
        return Problem(403, "passkey_required", "The role asks for a passkey.")
    return Problem(403, "forbidden", "The account may not do this.")


def _unauthorized(detail: str) -> Problem:
    return Problem(
        401,
        "unauthorized",
        "The request is not authorized.",
        detail=detail,
        errors=[("/headers/Authorization", detail)],
        headers={"WWW-Authenticate": 'Bearer realm="evently"'},
    )
