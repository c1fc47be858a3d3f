"""
How a page is served: who visits, in which language, whether there is room, and as what it leaves.

A page's handler is given a request that has its `Visit`, asks a use case, and returns what
`web.rendering` makes of a template. All else is done here, once: the quota and the room that the
API's requests have as well; forms from elsewhere are refused by `web.forms.read`, which every POST
begins with; what is everybody's is kept for a moment, as compressed bytes.
"""

from __future__ import annotations

import gzip
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar
from urllib.parse import quote

from aiohttp import hdrs, web

from api.admission import ADMISSION, Work
from api.answers import problem_of
from api.http import SERVICES
from api.lean import COMMON, LeanAnswer, lines_of
from api.problems import Problem
from api.quota import over_quota
from api.streams import StreamAnswer
from papers.words import DEFAULT
from usecases import notifications
from usecases.denials import Denied
from usecases.memory import remember
from usecases.tokens import Principal
from web import cookies, headers, languages

Found = TypeVar("Found")
PageHandler = Callable[[web.Request], Awaitable[web.StreamResponse | Problem]]

#: How old may be what is everybody's, in seconds; from what age on the first who comes makes it
#: anew while others are still shown it; and how many such pages are kept.
KEPT_S = 1.0
REMADE_S = 0.5
KEPT_MAX = 2_000
#: Below that it is not worth the while.
COMPRESSED_FROM_BYTES = 512
#: Addresses that are no page's name of their own are not kept apart beyond this.
KEPT_TARGET_CHARS_MAX = 300
SIGN_IN = "/sign-in"


class PageRoute(NamedTuple):
    """A page: where it is, what makes it, and what may be taken for granted there."""

    method: str
    path: str
    handler: PageHandler
    work: Work = Work.LOOKS
    #: Whether all who are not signed in see the same, so that it may be kept for a moment.
    is_public: bool = False
    #: Whether one must be signed in; who is not is asked to, and led back.
    needs_person: bool = False
    #: Whether it is a file that pages are made of: the same for all, and not counted, since it is
    #: in memory and a page asks for several.
    is_file: bool = False


class Visit(NamedTuple):
    """Who asks for a page, and in which language."""

    language: str
    person: Principal | None = None
    #: Whether the language was chosen by this very address.
    is_choosing: bool = False
    #: Messages in the account that were not seen, as far as is known.
    unread: int = 0


_COMMON_LINES = lines_of({**COMMON, **headers.SECURITY})
_KEPT_LINES = lines_of(
    {"Cache-Control": headers.PUBLIC, "Vary": headers.VARY, "Content-Encoding": "gzip"}
)
VISIT: web.RequestKey[Visit] = web.RequestKey("visit", Visit)
#: How many messages accounts had not seen, and of how many accounts that is remembered.
UNREAD: web.AppKey[OrderedDict[str, int]] = web.AppKey("unread", OrderedDict)
UNREAD_MAX = 16_384


class KeptPage(NamedTuple):
    """A page, compressed, and when it was made, by the monotonic clock."""

    body: bytes
    kind: str
    made_at_s: float
    #: Whether somebody makes it anew.
    is_remade: bool = False


KEPT: web.AppKey[OrderedDict[str, KeptPage]] = web.AppKey("kept_pages", OrderedDict)


def visit_of(request: web.Request) -> Visit:
    """Return who asks; where nobody has looked yet, as on a page of an error, a guest."""
    found = request.get(VISIT)
    return found if found is not None else Visit(language_of(request))


def person_of(request: web.Request) -> Principal:
    """Return who is signed in, on a page that needs somebody."""
    person = visit_of(request).person
    assert person is not None, "the page's row says that it needs somebody"
    return person


def needed(found: Found | Denied) -> Found:
    """Return what a use case told; raise what it denied, as the page that says so."""
    if isinstance(found, Denied):
        raise problem_of(found)
    return found


def language_of(request: web.Request) -> str:
    """Return the language that a visitor reads."""
    wished = languages.accepted(request.headers.get(hdrs.ACCEPT_LANGUAGE, ""))
    return (
        languages.chosen(
            request.query.get("lang"), request.cookies.get(cookies.LANGUAGE_COOKIE), *wished
        )
        or DEFAULT
    )


def served(app: web.Application, route: PageRoute) -> PageHandler:
    """Return a page's handler behind all that is done for each."""
    if route.is_file:
        return _file(route.handler)
    made = app[ADMISSION].admit(route.work, route.handler)

    async def serve(request: web.Request) -> web.StreamResponse | Problem:
        person = await cookies.person_of(request)
        is_choosing = languages.chosen(request.query.get("lang")) is not None
        request[VISIT] = visit = Visit(language_of(request), person, is_choosing)
        over = over_quota(request, person)
        if over is not None:
            return over
        if route.needs_person and person is None:
            return to_sign_in(request)
        if person is not None:
            request[VISIT] = visit._replace(unread=await _unread(request, route, person))
        is_shared = route.is_public and person is None and not is_choosing
        key = _key(request, visit) if is_shared else ""
        kept = kept_page(request, key) if key else None
        if kept is not None:
            return kept
        made_at_s = time.monotonic()
        response = await made(request)
        if isinstance(response, (Problem, StreamAnswer)):
            return response
        # What gives a cookie, or comes again at a time of its own, is for this visitor alone.
        is_own = bool(response.cookies) or "Refresh" in response.headers
        return dressed(request, response, "" if is_own else key, made_at_s)

    return serve


async def _unread(request: web.Request, route: PageRoute, person: Principal) -> int:
    """
    Return how many messages somebody has not seen.

    It is asked for on pages of what is one's own. Others, which a crowd looks at when a sale opens,
    show what was found then.
    """
    memory = request.app[UNREAD]
    if route.needs_person and request.method == hdrs.METH_GET:
        found = await notifications.unread(request.app[SERVICES], person)
        if not isinstance(found, Denied):
            remember(memory, person.user_id, found.unread, most=UNREAD_MAX)
    return memory.get(person.user_id, 0)


def _file(handler: PageHandler) -> PageHandler:
    async def serve(request: web.Request) -> web.StreamResponse | Problem:
        response = await handler(request)
        return response if isinstance(response, Problem) else dressed(request, response)

    return serve


def to_sign_in(request: web.Request) -> web.Response:
    """Lead somebody to sign in, and then back; from a form to what is theirs."""
    is_form = request.method == hdrs.METH_POST
    return to_sign_in_at("/me" if is_form else request.rel_url.raw_path_qs)


def to_sign_in_at(location: str) -> web.Response:
    """Lead somebody to sign in, and then to *location*."""
    return see_other(f"{SIGN_IN}?next={quote(location, safe='')}")


def see_other(location: str) -> web.Response:
    """Lead a browser on after a form, or to where something is."""
    return web.Response(status=303, headers={hdrs.LOCATION: location})


def _key(request: web.Request, visit: Visit) -> str:
    target = request.rel_url.raw_path_qs
    return f"{visit.language} {target}" if len(target) <= KEPT_TARGET_CHARS_MAX else ""


def kept_page(request: web.Request, key: str) -> web.StreamResponse | None:
    """Return a page that was made a moment ago, head and body as bytes."""
    found = request.app[KEPT].get(key)
    age_s = time.monotonic() - found.made_at_s if found is not None else KEPT_S
    if found is None or age_s >= KEPT_S or not _takes_gzip(request):
        return None
    if age_s >= REMADE_S and not found.is_remade:
        request.app[KEPT][key] = found._replace(is_remade=True)
        return None
    return LeanAnswer(200, found.body, _KEPT_LINES, content_type=found.kind, common=_COMMON_LINES)


def _takes_gzip(request: web.Request) -> bool:
    return "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")


def dressed(
    request: web.Request, response: web.StreamResponse, key: str = "", made_at_s: float = 0
) -> web.StreamResponse:
    """
    Return an answer with its headers, and compressed for who takes that.

    Args:
        key: Under which it may be kept for others; empty: it is for this visitor alone.

        made_at_s: When what it tells was asked for, by the monotonic clock.
    """
    for name, value in headers.SECURITY.items():
        response.headers.setdefault(name, value)
    cache = headers.PUBLIC if key else headers.PERSONAL
    response.headers.setdefault(hdrs.CACHE_CONTROL, cache)
    response.headers.setdefault(hdrs.VARY, headers.VARY)
    visit = visit_of(request)
    if visit.is_choosing:
        response.set_cookie(
            cookies.LANGUAGE_COOKIE,
            visit.language,
            path="/",
            max_age=cookies.LANGUAGE_LIFE_S,
            httponly=True,
            secure=request.app[cookies.IS_SECURE],
            samesite="Lax",
        )
    if isinstance(response, web.Response):
        _compress(request, response, key, made_at_s)
    return response


def _compress(request: web.Request, response: web.Response, key: str, made_at_s: float) -> None:
    """Compress a page for who takes that, and keep it if it is everybody's."""
    body = response.body
    if not isinstance(body, bytes) or hdrs.CONTENT_ENCODING in response.headers:
        return
    takes, is_kept = _takes_gzip(request), bool(key) and response.status == 200
    if len(body) < COMPRESSED_FROM_BYTES or not (takes or is_kept):
        return
    packed = gzip.compress(body, 6, mtime=0)
    if is_kept:
        kind = f"{response.content_type}; charset=utf-8"
        kept = KeptPage(packed, kind, made_at_s)
        remember(request.app[KEPT], key, kept, most=KEPT_MAX)
    if takes:
        response.body = packed
        response.headers[hdrs.CONTENT_ENCODING] = "gzip"
