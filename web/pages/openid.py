"""Signing in by an OpenID provider: there by a link, and back."""

from __future__ import annotations

from urllib.parse import quote, unquote

from aiohttp import web

from api.addresses import origin_of
from api.admission import Work
from api.http import SERVICES, device_of
from api.problems import Problem
from usecases import openid, told
from usecases.asked import OpenIdReturn
from usecases.denials import Denied, Why
from usecases.flows import TTL_S
from web import cookies, forms
from web.asking import Mistakes, mistakes_of, understood
from web.pages.account import go_on, sign_in_page
from web.serving import SIGN_IN, PageRoute, needed, see_other

#: Where the provider sends people back to: what `EVENTLY_OPENID_REDIRECT_URL` ends with.
RETURN = f"{SIGN_IN}/return"
#: Holds, until one is back, the provider, the flow, and where to go on.
_FLOW = "flow"
_APART = ":"


async def begin(request: web.Request) -> web.StreamResponse:
    """
    Send somebody to a provider.

    By a link: our policy lets no form lead to another site, and nothing is done by it yet.
    """
    name = request.match_info["provider"]
    begun = needed(await openid.begin(request.app[SERVICES], name))
    to = forms.local_path(request.query.get("next", "/"))
    response = see_other(begun.authorization_url)
    held = _APART.join((name, begun.flow, quote(to, safe="")))
    cookies.give(response, request.app, _FLOW, held, life_s=TTL_S)
    return response


async def finish(request: web.Request) -> web.StreamResponse | Problem:
    """Sign in whom a provider sends back, in the browser that was sent there and in no other."""
    name, flow, to = (*cookies.held(request, _FLOW).split(_APART), "", "", "")[:3]
    given = {
        field: request.query[field]
        for field in ("state", "code", "iss", "error")
        if field in request.query
    }
    goal = forms.local_path(unquote(to))
    asked = understood(request, OpenIdReturn, given | {"flow": flow})
    if not flow:  # Not begun in this browser, or ended before.
        return see_other(f"{SIGN_IN}?next={quote(goal, safe='')}")
    made: told.Session | Denied = Denied(Why.SIGN_IN_REFUSED)
    if not isinstance(asked, Mistakes):  # Some providers say no and leave the state out.
        made = await openid.finish(
            request.app[SERVICES], name, asked, origin=origin_of(request), device=device_of(request)
        )
    if isinstance(made, Denied):
        response: web.StreamResponse | Problem = sign_in_page(
            request, goal, mistakes_of(request, made, "email")
        )
    else:
        response = await go_on(request, made, goal)
    if isinstance(response, web.StreamResponse):
        cookies.take_back(response, request.app, _FLOW)
    return response


ROUTES = (
    PageRoute("GET", SIGN_IN + "/with/{provider}", begin, Work.SIGN_INS),
    PageRoute("GET", RETURN, finish, Work.SIGN_INS),
)
