"""Push: the browsers on which one is told."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.answers import PERSONAL, answer, answer_nothing, problem_of
from api.http import PRINCIPAL, SERVICES, device_of, read_body
from api.problems import Problem
from api.schemas import PushSubscriptions
from usecases import pushes
from usecases.asked import NewPush
from usecases.denials import Denied

_NEW = msgspec.json.Decoder(NewPush)


async def key(request: web.Request) -> web.StreamResponse | Problem:
    """
    Read the key that a browser subscribes with: `applicationServerKey`.

    Compare it with that of the browser's subscription whenever a page is loaded: with another one,
    unsubscribe and subscribe anew, since a key that was replaced goes on for a time only.
    """
    return answer(await pushes.key(request.app[SERVICES]), headers={"Cache-Control": "no-cache"})


async def subscribe(request: web.Request) -> web.StreamResponse | Problem:
    """
    Be told on this browser, by what `PushSubscription.toJSON()` says and the id of the key.

    The same endpoint again changes its subscription, and moves it to the account that asks: a
    browser has one.
    """
    asked = await read_body(request, _NEW)
    browser = device_of(request)
    told = await pushes.subscribe(request.app[SERVICES], request[PRINCIPAL], asked, browser)
    return answer(told, headers=PERSONAL)


async def listing(request: web.Request) -> web.StreamResponse | Problem:
    """List the browsers on which one is told."""
    found = await pushes.mine(request.app[SERVICES], request[PRINCIPAL])
    told = found if isinstance(found, Denied) else PushSubscriptions(data=found)
    return answer(told, headers=PERSONAL)


async def remove(request: web.Request) -> web.StreamResponse | Problem:
    """Be told on a browser no more."""
    own_id = request.match_info["push_id"]
    return answer_nothing(await pushes.remove(request.app[SERVICES], request[PRINCIPAL], own_id))


async def test(request: web.Request) -> web.StreamResponse | Problem:
    """
    Have a message pushed to a browser, to see whether it gets there.

    It leaves in the next seconds; `last_delivered_at` and `failures` say how it went.
    """
    own_id = request.match_info["push_id"]
    denied = await pushes.test(request.app[SERVICES], request[PRINCIPAL], own_id)
    return problem_of(denied) if denied is not None else web.Response(status=202, headers=PERSONAL)
