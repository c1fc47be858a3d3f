"""The browsers on which somebody is told: by a press, and taken off by one."""

from __future__ import annotations

import orjson
from aiohttp import hdrs, web

from api.admission import Work
from api.answers import problem_of
from api.http import SERVICES, device_of
from api.problems import Problem
from usecases import pushes
from usecases.asked import NewPush
from usecases.denials import Denied
from web import forms
from web.asking import Mistakes, understood
from web.pages.me import done_of
from web.pages.settings import device_of_agent
from web.rendering import page
from web.serving import PageRoute, needed, person_of, see_other

DEVICES = "/me/devices"


async def listing(request: web.Request) -> web.StreamResponse:
    """List the browsers on which somebody is told."""
    services = request.app[SERVICES]
    return page(
        request,
        "told/devices.html",
        found=needed(await pushes.mine(services, person_of(request))),
        is_off=isinstance(await pushes.key(services), Denied),
        named=device_of_agent,
        done=done_of(request),
    )


async def key(request: web.Request) -> web.StreamResponse:
    """
    Tell the site's script what a browser subscribes with; null if nothing is pushed here.

    The script sends the forms of this group, so it is told the token of its visitor as well.
    """
    found = await pushes.key(request.app[SERVICES])
    told = {
        "key": None if isinstance(found, Denied) else found.public_key,
        "key_id": None if isinstance(found, Denied) else found.id,
        forms.TOKEN_FIELD: forms.token_for(forms.secret_of(request)),
    }
    return _json(told)


async def subscribe(request: web.Request) -> web.StreamResponse | Problem:
    """Have somebody told on this browser; its script says how it is reached."""
    fields = await forms.read(request)
    given = {
        "subscription": {
            "endpoint": fields.get("endpoint", ""),
            "keys": {"p256dh": fields.get("p256dh", ""), "auth": fields.get("auth", "")},
        },
        "key_id": fields.get("key_id", ""),
    }
    asked = understood(request, NewPush, given)
    if isinstance(asked, Mistakes):
        return Problem(422, "invalid", "This is no subscription.")
    done = await pushes.subscribe(
        request.app[SERVICES], person_of(request), asked, device_of(request)
    )
    return problem_of(done) if isinstance(done, Denied) else _json({"id": done.id})


async def change(request: web.Request) -> web.StreamResponse | Problem:
    """Push a test to a browser, or tell somebody no more on it."""
    fields = await forms.read(request)
    services, person, own_id = request.app[SERVICES], person_of(request), request.match_info["id"]
    is_test = fields.get("do") == "test"
    turn = pushes.test if is_test else pushes.remove
    denied = await turn(services, person, own_id)
    if denied is not None:
        return problem_of(denied)
    return see_other(f"{DEVICES}?done={'tested' if is_test else 'off'}")


def _json(told: dict[str, str | None]) -> web.Response:
    return web.Response(
        body=orjson.dumps(told),
        content_type="application/json",
        headers={hdrs.CACHE_CONTROL: "private, no-store"},
    )


ROUTES = (
    PageRoute("GET", DEVICES, listing, Work.OWN, needs_person=True),
    PageRoute("POST", DEVICES, subscribe, Work.OWN, needs_person=True),
    PageRoute("GET", f"{DEVICES}/key", key, Work.OWN, needs_person=True),
    PageRoute("POST", f"{DEVICES}/{{id}}", change, Work.OWN, needs_person=True),
)
