"""API keys for integrations: make, list, revoke."""

from __future__ import annotations

import msgspec
from aiohttp import web

from api.answers import PERSONAL, answer, answer_nothing, answer_page
from api.http import PRINCIPAL, SERVICES, page_limit, page_start, query_once, read_body
from api.problems import Problem
from api.schemas import ApiKeyPage
from usecases import api_keys
from usecases.asked import NewApiKey

_NEW = msgspec.json.Decoder(NewApiKey)


async def make(request: web.Request) -> web.StreamResponse | Problem:
    """
    Make an API key for an integration; it is shown this once.

    It acts for one organizer, in its scopes, and never beyond what its maker may do at the time.
    """
    asked = await read_body(request, _NEW)
    made = await api_keys.make(request.app[SERVICES], request[PRINCIPAL], asked)
    return answer(made, status=201, headers=PERSONAL)


async def listing(request: web.Request) -> web.StreamResponse | Problem:
    """List the API keys of one's organizer, newest first; admins name any."""
    page = await api_keys.listing(
        request.app[SERVICES],
        request[PRINCIPAL],
        query_once(request, "organizer_id"),
        before=page_start(request),
        limit=page_limit(request),
    )
    return answer_page(request, ApiKeyPage, page, PERSONAL)


async def revoke(request: web.Request) -> web.StreamResponse | Problem:
    """
    End an API key for good, within a second.

    May be repeated.
    """
    own_id = request.match_info["key_id"]
    return answer_nothing(await api_keys.revoke(request.app[SERVICES], request[PRINCIPAL], own_id))
