"""Seats: the live map, and taking seats out of sale."""

from __future__ import annotations

import time
from hashlib import blake2b
from typing import Literal

import msgspec
from aiohttp import web

from api.answers import PERSONAL, PUBLIC, VARY, answer, encode, problem_of
from api.handlers.events import own
from api.http import PRINCIPAL, SERVICES, has_seen, promo_code, query_once, read_body
from api.lean import LeanAnswer
from api.leftovers import MAPS, Mapped, wants_news
from api.problems import Problem, invalid
from usecases import seats, told
from usecases.asked import SeatIds
from usecases.denials import Denied
from usecases.events import leads

_SEAT_IDS = msgspec.json.Decoder(SeatIds)
SINCE_CHARS_MAX = 15


async def read(request: web.Request) -> web.StreamResponse | Problem:
    """
    Read the seat map, or with `since` what changed after that version.

    A seat's id is `s<section_no>-<n>`, n being its place in the section's `status`, from 1. There,
    f is free, h held, s sold, b blocked, and a slash ends a row. Where `since` is too long ago, the
    whole map is the answer. Sections of hidden tiers are shown to the event's organizer, and with
    `promo_code` those that it unlocks. The whole map may be a moment old; with the request header
    `Cache-Control: no-cache` it is not.
    """
    event_id, since = request.match_info["event_id"], _since(request)
    person, code = request.get(PRINCIPAL), promo_code(request)
    maps, is_whole = request.app[MAPS], since < 0 and not code and not leads(person)
    if is_whole and not wants_news(request):
        kept = maps.get(event_id)
        if kept is not None:
            return _mapped(request, kept)
    asked_at_s = time.monotonic()
    seen = await seats.read(request.app[SERVICES], person, event_id, since, code)
    if isinstance(seen, Denied):
        return problem_of(seen)
    has_seats = bool(seen.view.version or seen.view.sections)
    if is_whole and has_seats and not seen.is_private:
        fresh = Mapped(_etag(seen, since), encode(seen.view))
        maps.keep(event_id, asked_at_s, fresh)
        return _mapped(request, fresh)
    headers = (PERSONAL if seen.is_private else PUBLIC) | VARY
    if has_seats:
        etag = _etag(seen, since)
        headers = headers | {"ETag": etag}
        if has_seen(request, etag):
            return web.Response(status=304, headers=headers)
    return answer(seen.view, headers=headers)


def _mapped(request: web.Request, kept: Mapped) -> web.StreamResponse:
    """Answer with a map that everybody may see."""
    headers = PUBLIC | VARY | {"ETag": kept.etag}
    if has_seen(request, kept.etag):
        return web.Response(status=304, headers=headers)
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return LeanAnswer(200, kept.body, lines)


async def block(request: web.Request) -> web.StreamResponse | Problem:
    """Take free seats out of sale, all or none. May be repeated."""
    return await _shift(request, "blocked")


async def unblock(request: web.Request) -> web.StreamResponse | Problem:
    """Put blocked seats back on sale, all or none. May be repeated."""
    return await _shift(request, "free")


async def _shift(
    request: web.Request, status: Literal["blocked", "free"]
) -> web.StreamResponse | Problem:
    asked = await read_body(request, _SEAT_IDS)
    return answer(await seats.shift(*own(request), status, asked.seat_ids))


def _etag(seen: told.Seen[told.SeatMap], since: int) -> str:
    """Name the map, or its changes, at a version; what not everybody sees has a name of its own."""
    words = [str(since)] if since >= 0 else []
    words.append(str(seen.view.version))
    if seen.is_private:
        words.append(blake2b(encode(seen.view), digest_size=8).hexdigest())
    return f'"{"-".join(words)}"'


def _since(request: web.Request) -> int:
    text = query_once(request, "since")
    if text is None:
        return -1
    if not (text.isascii() and text.isdigit()) or len(text) > SINCE_CHARS_MAX:
        raise invalid("/query/since", "is not a version of the seat map")
    return int(text)
