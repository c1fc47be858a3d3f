"""What is left of an event: what a crowd asks most often."""

from __future__ import annotations

import time

from aiohttp import web

from api.answers import PERSONAL, PUBLIC, VARY, encode, problem_of
from api.http import PRINCIPAL, SERVICES, promo_code
from api.lean import LeanAnswer
from api.leftovers import LEFTOVERS, wants_news
from api.problems import Problem
from usecases import availability
from usecases.denials import Denied
from usecases.events import leads

_PRIVATE_LINE, _PUBLIC_LINE = (
    f"Cache-Control: {one['Cache-Control']}\r\nVary: {VARY['Vary']}\r\n"
    for one in (PERSONAL, PUBLIC)
)


async def read(request: web.Request) -> web.StreamResponse | Problem:
    """
    Tell what is left, all counters of one moment.

    The answer may be a moment old, which `as_of` tells; with the request header
    `Cache-Control: no-cache` it is not. Hidden tiers are told to the event's organizer, and with
    `promo_code` those that it unlocks.
    """
    event_id, leftovers = request.match_info["event_id"], request.app[LEFTOVERS]
    person, code = request.get(PRINCIPAL), promo_code(request)
    if not code and not leads(person) and not wants_news(request):
        body = leftovers.get(event_id)
        if body is not None:
            return LeanAnswer(200, body, _PUBLIC_LINE)
    asked_at_s = time.monotonic()
    seen = await availability.read(request.app[SERVICES], person, event_id, code)
    if isinstance(seen, Denied):
        return problem_of(seen)
    body = encode(seen.view)
    if seen.is_private:
        return LeanAnswer(200, body, _PRIVATE_LINE)
    leftovers.keep(event_id, asked_at_s, body)
    return LeanAnswer(200, body, _PUBLIC_LINE)
