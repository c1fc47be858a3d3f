"""Passkeys: sign in by one, make one, list, rename and remove one's own."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.addresses import origin_of
from api.answers import PERSONAL, answer, answer_nothing
from api.http import PRINCIPAL, SERVICES, device_of, read_body
from api.problems import Problem
from api.schemas import Passkeys
from usecases import passkeys
from usecases.asked import NewPasskey, PasskeyName, PasskeySignIn
from usecases.denials import Denied

_SIGN_IN = msgspec.json.Decoder(PasskeySignIn)
_NEW = msgspec.json.Decoder(NewPasskey)
_NAME = msgspec.json.Decoder(PasskeyName)


async def begin(request: web.Request) -> web.StreamResponse | Problem:
    """Begin to sign in by a passkey; the device finds it without a name."""
    return answer(await passkeys.begin(request.app[SERVICES]), headers=PERSONAL)


async def finish(request: web.Request) -> web.StreamResponse | Problem:
    """End a sign-in by what a passkey has signed."""
    asked = await read_body(request, _SIGN_IN)
    origin, device = origin_of(request), device_of(request)
    told = await passkeys.finish(request.app[SERVICES], asked, origin=origin, device=device)
    return answer(told, headers=PERSONAL)


async def listing(request: web.Request) -> web.StreamResponse | Problem:
    """List one's passkeys."""
    found = await passkeys.mine(request.app[SERVICES], request[PRINCIPAL])
    return answer(found if isinstance(found, Denied) else Passkeys(data=found), headers=PERSONAL)


async def begin_adding(request: web.Request) -> web.StreamResponse | Problem:
    """Begin to make a passkey for one's account, within ten minutes of signing in."""
    told = await passkeys.begin_adding(request.app[SERVICES], request[PRINCIPAL])
    return answer(told, headers=PERSONAL)


async def add(request: web.Request) -> web.StreamResponse | Problem:
    """Keep the passkey that was made."""
    asked = await read_body(request, _NEW)
    told = await passkeys.add(request.app[SERVICES], request[PRINCIPAL], asked)
    return answer(told, status=201, headers=PERSONAL)


async def rename(request: web.Request) -> web.StreamResponse | Problem:
    """Give one of one's passkeys another name."""
    asked = await read_body(request, _NAME)
    told = await passkeys.rename(
        request.app[SERVICES], request[PRINCIPAL], request.match_info["passkey_id"], asked
    )
    return answer(told, headers=PERSONAL)


async def remove(request: web.Request) -> web.StreamResponse | Problem:
    """Remove one of one's passkeys, within ten minutes of signing in."""
    own_id = request.match_info["passkey_id"]
    return answer_nothing(await passkeys.remove(request.app[SERVICES], request[PRINCIPAL], own_id))
