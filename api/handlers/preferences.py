"""What one wants to be told; and the links by which letters are ended."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

import msgspec
from aiohttp import web

from api import pages
from api.answers import PERSONAL, answer, problem_of
from api.http import PEOPLE, PRINCIPAL, SERVICES, query_once, read_body
from api.problems import Problem
from usecases import preferences
from usecases.asked import PreferencesChange
from usecases.denials import Denied

_CHANGE = msgspec.json.Decoder(PreferencesChange)
#: What the letters of a topic are, as it ends a sentence.
_LETTERS = {"reminders": "mail that reminds you of events", "sales": "mail before sales open"}
_ASK = """<main>
<h1>No more {letters}?</h1>
<p>Mail about what you have booked comes all the same. You can change this in your account.</p>
<form method="post" action="/v1/unsubscribe?token={token}"><button>End these letters</button></form>
</main>"""
_DONE = """<main>
<h1>You get no more {letters}.</h1>
<p>It ends at once. You can have it again by the preferences of your account.</p>
</main>"""
_HEADERS = pages.HEADERS | {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": pages.HEADERS["Content-Security-Policy"].replace(
        "form-action 'none'", "form-action 'self'"
    ),
}


async def read(request: web.Request) -> web.StreamResponse | Problem:
    """Tell what one is told beside what is one's own business, and by which channels."""
    done = await preferences.read(request.app[SERVICES], request[PRINCIPAL])
    return answer(done, headers=PERSONAL)


async def change(request: web.Request) -> web.StreamResponse | Problem:
    """Change what one is told, and in which zone; what is not named stays."""
    asked = await read_body(request, _CHANGE)
    done = await preferences.change(request.app[SERVICES], request[PRINCIPAL], asked)
    return answer(done, headers=PERSONAL)


async def page(request: web.Request) -> web.StreamResponse | Problem:
    """
    Ask whether the letters of a kind shall end; a page with a button, or the site's own page.

    Nothing is changed: what looks through letters fetches their links.
    """
    token = query_once(request, "token")
    if PEOPLE in request.app:
        location = f"/unsubscribe?token={quote(token or '', safe='')}"
        return web.Response(status=303, headers={"Location": location, **PERSONAL})
    topic = await preferences.topic_of(request.app[SERVICES], token)
    return _shown(topic, _ASK, token or "")


async def unsubscribe(request: web.Request) -> web.StreamResponse | Problem:
    """
    End the letters of a kind, by the token of one of them (RFC 8058). May be repeated.

    Nobody signs in, and the body says nothing. From then on none of them leaves.
    """
    token = query_once(request, "token")
    topic = await preferences.unsubscribe(request.app[SERVICES], token)
    return _shown(topic, _DONE, token or "")


def _shown(topic: str | Denied, body: str, token: str) -> web.StreamResponse | Problem:
    if isinstance(topic, Denied):
        return problem_of(topic)
    text = body.format(letters=_LETTERS[topic], token=escape(quote(token, safe="")))
    return web.Response(
        text=pages.html("Letters", text), content_type="text/html", headers=_HEADERS
    )
