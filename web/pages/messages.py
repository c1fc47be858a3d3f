"""Messages in one's account: the list, what was seen, and the stream that tells of new ones."""

from __future__ import annotations

import asyncio

from aiohttp import web

from api.addresses import origin_of
from api.admission import Work
from api.answers import cursor_of
from api.http import FAR_AHEAD, SERVICES, page_start
from api.problems import Problem
from api.streams import HEARTBEAT, NEWS, STREAMS, Stream, StreamAnswer, encode, retry
from usecases import notifications, told
from usecases.asked import SeenMessages
from web import forms
from web.pages.me import LIST_ROWS
from web.rendering import page
from web.serving import PageRoute, needed, person_of, see_other, visit_of

MESSAGES = "/me/messages"
#: How often a stream says that it is there, in seconds.
HEARTBEAT_S = 15.0


async def listing(request: web.Request) -> web.StreamResponse:
    """List the messages, newest first."""
    services, person = request.app[SERVICES], person_of(request)
    before = page_start(request)
    found = needed(await notifications.listing(services, person, before=before, limit=LIST_ROWS))
    last = found.page.last
    return page(
        request,
        "told/messages.html",
        messages=found.page.data,
        unread=found.unread,
        is_first=before == FAR_AHEAD,
        next_url=f"{MESSAGES}?after={cursor_of(last)}" if last is not None else "",
    )


async def see_all(request: web.Request) -> web.StreamResponse:
    """Note that all messages were seen, up to the newest that the page had."""
    fields = await forms.read(request)
    await _see(request, SeenMessages(up_to=fields.get("up_to", "")))
    return see_other(MESSAGES)


async def open_one(request: web.Request) -> web.StreamResponse:
    """Note that a message was seen, and go to where it leads."""
    fields = await forms.read(request)
    await _see(request, SeenMessages(notification_id=request.match_info["id"]))
    return see_other(forms.local_path(fields.get("page", "") or MESSAGES))


async def _see(request: web.Request, asked: SeenMessages) -> None:
    needed(await notifications.see(request.app[SERVICES], person_of(request), asked))


async def stream(request: web.Request) -> web.StreamResponse | Problem:
    """Tell a page of somebody's own how many messages were not seen, whenever that changes."""
    person, streams, news = person_of(request), request.app[STREAMS], request.app[NEWS]
    is_over = request.app[SERVICES].revocations.is_over
    listener = Stream(origin_of(request), person.user_id, lambda: is_over(person))
    refused = streams.objection(listener)
    if refused is not None:
        return refused
    first = encode("unread", told.LiveUnread(unread=visit_of(request).unread), "")
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def beat() -> None:
        nonlocal timer
        listener.hear(HEARTBEAT)
        timer = loop.call_later(HEARTBEAT_S, beat)

    def join(head: bytes) -> None:
        listener.hear(head + retry() + b"\n" + first)
        news.join(person.user_id, listener)
        beat()

    def leave() -> None:
        news.leave(person.user_id, listener)
        if timer is not None:
            timer.cancel()

    return StreamAnswer(streams, listener, join, leave)


ROUTES = (
    PageRoute("GET", MESSAGES, listing, Work.OWN, needs_person=True),
    PageRoute("POST", f"{MESSAGES}/seen", see_all, Work.OWN, needs_person=True),
    PageRoute("POST", f"{MESSAGES}/{{id}}", open_one, Work.OWN, needs_person=True),
    PageRoute("GET", "/me/stream", stream, Work.OWN, needs_person=True),
)
