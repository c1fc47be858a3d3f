"""
Who may call a route: one of these policies stands at every route, and is enforced here.

Beyond an account, it is not the token's word that counts but what the account is at this moment
(`usecases.rights`): who was demoted is out within a second. Whether a thing belongs to the caller
is the use case's question; to others it is not there, so that nobody learns what exists (S8, S9).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum

from aiohttp import web

from api import principals
from api.http import PRINCIPAL, SERVICES
from api.problems import Problem
from api.quota import over_quota
from store.organizers import Standing
from usecases.tokens import Principal

#: A problem may be returned as well as raised: most of a rush is told that it is sold out.
Handler = Callable[[web.Request], Awaitable[web.StreamResponse | Problem]]


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


def enforce(policy: Policy, handler: Handler, *, scopes: frozenset[str] = frozenset()) -> Handler:
    """
    Return *handler* behind *policy*.

    Args:
        scopes: Those of API keys and devices that open it; none: it is closed to them.
    """
    if policy is Policy.OPS:
        return handler
    asks_standing = policy in OF_STANDING

    async def guarded(request: web.Request) -> web.StreamResponse | Problem:
        principal: Principal | None = None
        refused: Problem | None = None
        try:
            text = principals.bearer(request)
            if text is not None:
                services = request.app[SERVICES]
                principal = services.tokens.known(text) or await principals.find(services, text)
                if principal.kind == "user":
                    principals.require_current(request, services.revocations, principal)
                else:
                    await principals.reaches(request, principal, scopes)
        except Problem as problem:
            principal, refused = None, problem
        over = over_quota(request, principal)
        if over is not None:
            return over
        if principal is None:
            # A stale token must not keep anybody from what is everybody's, such as the login.
            if policy is not Policy.PUBLIC:
                return refused or principals.unauthorized("The request needs an access token.")
        else:
            if asks_standing:
                _let_in(policy, await _standing_of(request, policy, principal))
            request[PRINCIPAL] = principal
        return await handler(request)

    return guarded


async def _standing_of(request: web.Request, policy: Policy, principal: Principal) -> Standing:
    standings = request.app[SERVICES].standings
    if policy is Policy.STAFF:
        # At the gate people are let in while PostgreSQL is away; whatever else is asked needs it.
        return await standings.at_gate(principal)
    return await standings.of(principal)


def _let_in(policy: Policy, standing: Standing) -> None:
    """Raise the problem of whoever is not what a policy asks for."""
    roles = {place.role for place in standing.places.values()}
    asked = {Policy.STAFF: bool(roles), Policy.ORGANIZER: bool(roles & _LEADERS)}
    if standing.is_admin or asked.get(policy, False):
        return
    if standing.lacks_passkey:
        raise Problem(403, "passkey_required", "The role asks for a passkey.")
    raise Problem(403, "forbidden", "The account may not do this.")
