"""Being told before a sale opens."""

from __future__ import annotations

from aiohttp import web

from api.answers import answer_nothing
from api.http import PRINCIPAL, SERVICES
from api.problems import Problem
from usecases import reminders


async def ask(request: web.Request) -> web.StreamResponse | Problem:
    """
    Ask to be told about a quarter of an hour before the event's sale opens. May be repeated.

    If the opening is moved, it is told before the new one. By which channels, `sales` of
    `/v1/me/preferences` says.
    """
    own_id = request.match_info["event_id"]
    return answer_nothing(await reminders.ask(request.app[SERVICES], request[PRINCIPAL], own_id))


async def end(request: web.Request) -> web.StreamResponse | Problem:
    """Ask to be told no more before the event's sale opens. May be repeated."""
    own_id = request.match_info["event_id"]
    return answer_nothing(await reminders.end(request.app[SERVICES], request[PRINCIPAL], own_id))
