"""
Who may call a route: one of these policies stands at every route, and is enforced here.

Beyond an account, it is not the token's word that counts but what the account is at this moment
(`usecases.rights`): who was demoted is out within a second. Whether a thing belongs to the caller
is the use case's question; to others it is not there, so that nobody learns what exists (S8, S9).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum

from aiohttp import hdrs, web

from api.http import PRINCIPAL, SERVICES
from api.problems import Problem, unavailable
from usecases.tokens import InvalidToken, Principal

#: A problem may be returned as well as raised: most of a rush is told that it is sold out.
Handler = Callable[[web.Request], Awaitable[web.StreamResponse | Problem]]
_SCHEME = "Bearer "
#: Methods that change nothing.
_SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})


class Policy(Enum):
    """Who may call."""

    #: Anybody; a token is looked at if there is one.
    PUBLIC = "public"
    #: Anybody with an account.
    USER = "user"
    #: Whoever is on some organizer's team, and admins.
    STAFF = "staff"
    #: Owners and managers of some organizer, and admins.
    ORGANIZER = "organizer"
    #: Admins.
    ADMIN = "admin"
    #: Machines that watch the service; keep them from the public by the proxy in front.
    OPS = "ops"


#: Policies that ask what the account is.
OF_STANDING = frozenset({Policy.STAFF, Policy.ORGANIZER, Policy.ADMIN})
_LEADERS = frozenset({"owner", "manager"})


def enforce(policy: Policy, handler: Handler) -> Handler:
    """Return *handler* behind *policy*."""
    if policy is Policy.OPS:
        return handler
    asks_standing = policy in OF_STANDING

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
            if asks_standing and not await _is_let_in(request, policy, principal):
                raise Problem(403, "forbidden", "The account may not do this.")
            request[PRINCIPAL] = principal
        return await handler(request)

    return guarded


async def _is_let_in(request: web.Request, policy: Policy, principal: Principal) -> bool:
    standings = request.app[SERVICES].standings
    if policy is Policy.STAFF:
        # At the gate people are let in while PostgreSQL is away; whatever else is asked needs it.
        standing = await standings.at_gate(principal)
        return standing.is_admin or bool(standing.places)
    standing = await standings.of(principal)
    if policy is Policy.ADMIN:
        return standing.is_admin
    roles = {place.role for place in standing.places.values()}
    return standing.is_admin or bool(roles & _LEADERS)


def _principal(request: web.Request) -> Principal | None:
    header = request.headers.get(hdrs.AUTHORIZATION)
    if header is None:
        return None
    # The scheme's name has no case (RFC 9110 section 11.1).
    if not header.startswith(_SCHEME) and header[: len(_SCHEME)].lower() != _SCHEME.lower():
        raise _unauthorized("Only the scheme Bearer is known.")
    services = request.app[SERVICES]
    try:
        principal = services.tokens.check(header[len(_SCHEME) :].lstrip(" "))
    except InvalidToken as error:
        raise _unauthorized("The access token is not valid, or no longer.") from error
    revocations = services.revocations
    if revocations.is_over(principal):
        raise _unauthorized("The access token is not valid, or no longer.")
    if revocations.is_shut and request.method not in _SAFE:  # Nobody knows whose tokens are over.
        raise unavailable("database_unavailable")
    return principal


def _unauthorized(detail: str) -> Problem:
    return Problem(
        401,
        "unauthorized",
        "The request is not authorized.",
        detail=detail,
        errors=[("/headers/Authorization", detail)],
        headers={"WWW-Authenticate": 'Bearer realm="evently"'},
    )
