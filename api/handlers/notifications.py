"""Messages in one's account."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.answers import PERSONAL, answer, answer_page, problem_of
from api.http import PRINCIPAL, SERVICES, page_limit, page_start, read_body
from api.problems import Problem
from api.schemas import NotificationPage
from usecases import notifications
from usecases.asked import SeenMessages
from usecases.denials import Denied

_SEEN = msgspec.json.Decoder(SeenMessages)


async def listing(request: web.Request) -> web.StreamResponse | Problem:
    """
    List the messages in one's account, newest first, and tell how many were not seen.

    Each says what has happened in one line, in the account's language, and where that is shown.
    They are kept as long as letters are remembered, by default for 30 days.
    """
    limit, before = page_limit(request), page_start(request)
    services, person = request.app[SERVICES], request[PRINCIPAL]
    found = await notifications.listing(services, person, before=before, limit=limit)
    if isinstance(found, Denied):
        return problem_of(found)
    return answer_page(request, NotificationPage, found.page, PERSONAL, unread=found.unread)


async def see(request: web.Request) -> web.StreamResponse | Problem:
    """Say that a message was seen, or all up to one. May be repeated."""
    asked = await read_body(request, _SEEN)
    done = await notifications.see(request.app[SERVICES], request[PRINCIPAL], asked)
    return answer(done, headers=PERSONAL)
