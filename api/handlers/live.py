"""What is left of an event as it changes, and an account's own messages, as a stream."""

from __future__ import annotations

import re

from aiohttp import web
from multidict import istr

from api import principals
from api.addresses import origin_of
from api.answers import problem_of
from api.codes import CODES
from api.cors import CORS
from api.http import PRINCIPAL, SERVICES
from api.problems import Problem
from api.streams import NEWS, STREAMS, Stream, StreamAnswer, retry
from engine.errors import KeysUnknown
from usecases.denials import Denied
from usecases.live import Hub, Place, watched
from usecases.services import Services
from usecases.tokens import InvalidToken, Principal

_LAST_EVENT_ID = istr("Last-Event-ID")
_PLACE = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})")

HUB: web.AppKey[Hub] = web.AppKey("hub", Hub)


async def read(request: web.Request) -> web.StreamResponse | Problem:
    """
    Be told what is left of an event whenever that changes.

    Server-Sent Events: `state` first, which is all there is to tell; then `tiers`, `sale` and
    `seats` with what differs, within half a second. Who sends an access token gets `message` as
    well, for whatever concerns the account, from `following` on. Events have JSON as their data and
    the place in the journal, `epoch.seq`, as their id; send the last one as `Last-Event-ID` to get
    those changes of seats that were missed. `bye` comes before an end, which has a reason: the
    token is over, or the server stops. Who does not read is let go. Hidden tiers are told to
    nobody here. docs/LIVE.md has each event with its fields.
    """
    if not request.app[CORS].lets_read(request):
        return Problem(403, "origin_not_allowed", CODES["origin_not_allowed"].title)
    hub, news, streams = request.app[HUB], request.app[NEWS], request.app[STREAMS]
    catalog = request.app[SERVICES].catalog
    watch = await watched(hub, catalog, request.match_info["event_id"])
    if isinstance(watch, Denied):
        return problem_of(watch)
    listener = _listener(request)
    refused = streams.objection(listener)
    if refused is not None:
        return refused
    seen = _seen(request)

    def join(head: bytes) -> None:
        # In one piece: however much it is, it is not what a slow listener has left to wait.
        listener.hear(head + retry() + b"\n" + hub.join(watch, listener, seen))
        if listener.account:
            news.join(listener.account, listener)

    def leave() -> None:
        hub.leave(watch, listener)
        if listener.account:
            news.leave(listener.account, listener)

    return StreamAnswer(streams, listener, join, leave)


def _listener(request: web.Request) -> Stream:
    """Return who listens: an account by its token, or anybody."""
    person, address = request.get(PRINCIPAL), origin_of(request)
    text = principals.bearer(request) if person is not None else None
    if person is None or text is None or person.kind != "user":
        return Stream(address)
    services = request.app[SERVICES]
    return Stream(address, person.user_id, lambda: _is_over(services, person, text))


def _is_over(services: Services, person: Principal, token: str) -> bool:
    """Tell whether an access token that was good is so no longer (S4)."""
    if services.revocations.is_over(person):
        return True
    try:
        services.tokens.check(token)
    except InvalidToken:
        return True
    except KeysUnknown:
        pass  # Nobody can say while PostgreSQL is away; nor let anybody go.
    return False


def _seen(request: web.Request) -> Place | None:
    """Return what the listener was told last on an earlier stream; None if it says no place."""
    match = _PLACE.fullmatch(request.headers.get(_LAST_EVENT_ID, ""))
    return None if match is None else Place(int(match[1]), int(match[2]))
