"""Sign in by an OpenID provider; the identities that lead to one's account."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.addresses import origin_of
from api.answers import PERSONAL, answer, answer_nothing
from api.http import PRINCIPAL, SERVICES, device_of, read_body
from api.problems import Problem
from api.schemas import Identities, OpenIdProviders
from usecases import openid
from usecases.asked import OpenIdReturn
from usecases.denials import Denied
from usecases.services import Services

_RETURN = msgspec.json.Decoder(OpenIdReturn)


async def providers(request: web.Request) -> web.StreamResponse | Problem:
    """List the providers that one can sign in by."""
    found = openid.providers(request.app[SERVICES])
    return answer(OpenIdProviders(data=found), headers=PERSONAL)


async def begin(request: web.Request) -> web.StreamResponse | Problem:
    """
    Begin to sign in by a provider.

    Send the person to `authorization_url`, and keep `flow` in the page that sent them: whoever
    comes back from the provider shows it, with the `state` and `code` that the provider added.
    """
    return answer(await openid.begin(*_named(request)), headers=PERSONAL)


async def finish(request: web.Request) -> web.StreamResponse | Problem:
    """
    End a sign-in by a provider; an account is made if there is none.

    It needs an address that the provider has verified. If that address has an account already, the
    two are joined only if the address is verified here as well and the account is a buyer's;
    otherwise its owner joins them when signed in.
    """
    asked = await read_body(request, _RETURN)
    told = await openid.finish(
        *_named(request), asked, origin=origin_of(request), device=device_of(request)
    )
    return answer(told, headers=PERSONAL)


async def listing(request: web.Request) -> web.StreamResponse | Problem:
    """List one's identities at providers."""
    found = await openid.identities(request.app[SERVICES], request[PRINCIPAL])
    return answer(found if isinstance(found, Denied) else Identities(data=found), headers=PERSONAL)


async def begin_link(request: web.Request) -> web.StreamResponse | Problem:
    """Begin to join an identity to one's account, within ten minutes of signing in."""
    services, provider = _named(request)
    told = await openid.begin_link(services, request[PRINCIPAL], provider)
    return answer(told, headers=PERSONAL)


async def finish_link(request: web.Request) -> web.StreamResponse | Problem:
    """Join the identity; it is the caller's own from then on, and signs in to this account."""
    asked = await read_body(request, _RETURN)
    services, provider = _named(request)
    told = await openid.finish_link(
        services, request[PRINCIPAL], provider, asked, origin=origin_of(request)
    )
    return answer(told, status=201, headers=PERSONAL)


async def unlink(request: web.Request) -> web.StreamResponse | Problem:
    """Take an identity from one's account, within ten minutes of signing in."""
    own_id = request.match_info["identity_id"]
    return answer_nothing(await openid.unlink(request.app[SERVICES], request[PRINCIPAL], own_id))


def _named(request: web.Request) -> tuple[Services, str]:
    return request.app[SERVICES], request.match_info["provider"]
