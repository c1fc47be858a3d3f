"""
Orders as they come in, each understood once.

In a rush the same few bodies come again and again, and so do the same final refusals: both are
remembered by process.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec
from aiohttp import web

from api.answers import MEMORY_ENTRIES_MAX, problem_of
from api.http import PRINCIPAL, SERVICES, decode, read_raw
from api.problems import Problem
from engine.outcomes import Refused
from usecases.asked import Order
from usecases.denials import Denied
from usecases.memory import remember
from usecases.orders import Wish, denial_of, understand

_ORDER = msgspec.json.Decoder(Order)
#: By event and body. An entry holds for the very `Known` that it was made with.
_wishes: OrderedDict[tuple[str, bytes], Wish] = OrderedDict()
#: Final refusals of orders, by event, request and all that the script said.
_refusals: OrderedDict[tuple[int | str, ...], Problem] = OrderedDict()
#: Longer bodies are not worth remembering.
WISH_BYTES_MAX = 512
_PLAIN_DETAIL = b"{}"


async def receive(request: web.Request) -> Wish:
    """
    Read and understand the order that *request* brings.

    Raises:
        Problem: the request is not valid, or there is no such event.
    """
    services = request.app[SERVICES]
    event_id = request.match_info["event_id"]
    raw = await read_raw(request)
    wish = _wishes.get((event_id, raw))
    if wish is not None and wish.known is services.catalog.get(event_id):
        return wish
    understood = await understand(services, request[PRINCIPAL], event_id, decode(raw, _ORDER))
    if isinstance(understood, Denied):
        raise problem_of(understood)
    if understood.detail == _PLAIN_DETAIL and len(raw) <= WISH_BYTES_MAX:
        remember(_wishes, (event_id, raw), understood, most=MEMORY_ENTRIES_MAX)
    return understood


def refuse(wish: Wish, refused: Refused) -> Problem:
    """Answer with the refusal of an order; to be returned, since others share it."""
    key = (wish.event_id, wish.fingerprint, refused.status, *refused.fields.values())
    problem = _refusals.get(key)
    if problem is None:
        problem = problem_of(denial_of(wish, refused))
        # One that passes by itself says when: hardly two are the same.
        if not refused.status.is_transient:
            remember(_refusals, key, problem, most=MEMORY_ENTRIES_MAX)
    return problem
