"""
Who visits: a browser's session by its cookie, which is one of the account's sessions as any other.

The cookie is opaque and made anew at each sign-in. Over http, which is for development alone, it
has a name without `__Host-`, which browsers would not take there.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import NamedTuple

from aiohttp import web

from api.http import SERVICES
from usecases import sessions
from usecases.memory import remember
from usecases.tokens import Principal

#: How long a process takes a cookie for good without asking, in seconds; what is over is known to
#: `usecases.revocations` at once.
REMEMBERED_S = 30.0
REMEMBERED_MAX = 16_384
LANGUAGE_COOKIE = "lang"
LANGUAGE_LIFE_S = 365 * 86_400
_SECURE = "__Host-"
SESSION = "session"
#: Of who is not signed in, so that a form of theirs can be told from a stranger's.
GUEST = "guest"


class KnownCookie(NamedTuple):
    """Whom a cookie signs in, and until when that is not asked again."""

    person: Principal
    until_s: float


class CookieMemory:
    """Cookies that were looked at a moment ago."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, KnownCookie] = OrderedDict()

    def get(self, text: str) -> Principal | None:
        """Return whom a cookie signs in if that was asked a moment ago."""
        found = self._known.get(text)
        return found.person if found is not None and time.monotonic() < found.until_s else None

    def keep(self, text: str, person: Principal) -> None:
        """Remember whom a cookie signs in."""
        known = KnownCookie(person, time.monotonic() + REMEMBERED_S)
        remember(self._known, text, known, most=REMEMBERED_MAX)


REMEMBERED = web.AppKey("remembered_cookies", CookieMemory)
#: Whether browsers find the site by TLS.
IS_SECURE = web.AppKey("is_secure", bool)


def name_of(app: web.Application, name: str) -> str:
    """Return a cookie's name as browsers keep it."""
    return f"{_SECURE}{name}" if app[IS_SECURE] else name


def held(request: web.Request, name: str) -> str:
    """Return what a cookie holds; empty if there is none."""
    return request.cookies.get(name_of(request.app, name), "")


async def person_of(request: web.Request) -> Principal | None:
    """Return who is signed in, if anybody is."""
    text = held(request, SESSION)
    if not text:
        return None
    services, remembered = request.app[SERVICES], request.app[REMEMBERED]
    person = remembered.get(text)
    if person is None:
        person = await sessions.of_cookie(services, text)
        if person is not None:
            remembered.keep(text, person)
    return None if person is None or services.revocations.is_over(person) else person


def give(
    response: web.StreamResponse,
    app: web.Application,
    name: str,
    value: str,
    *,
    life_s: int | None = None,
) -> None:
    """
    Have a browser keep a cookie, which no script sees.

    Args:
        life_s: How long, in seconds; None: until the browser is closed.
    """
    response.set_cookie(
        name_of(app, name),
        value,
        path="/",
        secure=app[IS_SECURE],
        httponly=True,
        samesite="Lax",
        max_age=life_s,
    )


def take_back(response: web.StreamResponse, app: web.Application, name: str) -> None:
    """Have a browser forget a cookie; with a session's, all that scripts have kept as well."""
    if name == SESSION:
        response.headers["Clear-Site-Data"] = '"storage"'
    response.del_cookie(
        name_of(app, name), path="/", secure=app[IS_SECURE], httponly=True, samesite="Lax"
    )
