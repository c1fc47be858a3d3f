"""
Who may call a route: one of these policies stands at every route, and is enforced here.

Whether a thing belongs to the caller is the use case's question; to others it is not there, so that
nobody learns what exists (S8, S9).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum

from aiohttp import web

from api import principals
from api.http import PRINCIPAL, SERVICES
from api.problems import Problem

#: A problem may be returned as well as raised: most of a rush is told that it is sold out.
Handler = Callable[[web.Request], Awaitable[web.StreamResponse | Problem]]


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


def enforce(policy: Policy, handler: Handler, *, scopes: frozenset[str] = frozenset()) -> Handler:
    """
    Return *handler* behind *policy*.

    Args:
        scopes: Those of API keys and devices that open it; none: it is closed to them.
    """
    if policy is Policy.OPS:
        return handler

    async def guarded(request: web.Request) -> web.StreamResponse | Problem:
        try:
            principal = None
            text = principals.bearer(request)
            if text is not None:
                services = request.app[SERVICES]
                principal = services.tokens.known(text) or await principals.find(services, text)
                if principal.kind != "user":
                    await principals.reaches(request, principal, scopes)
        except Problem:
            # A stale token must not keep anybody from what is everybody's, such as the login.
            if policy is not Policy.PUBLIC:
                raise
            principal = None
        if principal is None:
            if policy is not Policy.PUBLIC:
                raise principals.unauthorized("The request needs an access token.")
        else:
            if policy is Policy.STAFF and principal.role not in _STAFF:
                raise Problem(403, "forbidden", "The account may not do this.")
            if policy is Policy.ORGANIZER and principal.role not in _ORGANIZERS:
                raise Problem(403, "forbidden", "The account may not do this.")
            request[PRINCIPAL] = principal
        return await handler(request)

    return guarded
