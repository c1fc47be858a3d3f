"""What is left of an event: what a crowd asks most often."""

from __future__ import annotations

import time

from aiohttp import web
from multidict import istr

from api.handlers.events import PRIVATE, PUBLIC, promo_code
from api.http import encode
from api.lean import LeanAnswer
from api.moments import moment_of
from api.orders import find_event
from api.problems import refusal
from api.schemas import Availability, TierAvailability
from api.services import SERVICES
from engine.outcomes import Refused

_CACHE_CONTROL = istr("Cache-Control")
_PRIVATE_LINE, _PUBLIC_LINE = (
    f"Cache-Control: {one['Cache-Control']}\r\n" for one in (PRIVATE, PUBLIC)
)


async def read(request: web.Request) -> web.StreamResponse:
    """
    Tell what is left, all counters of one moment.

    The answer may be a moment old, which `as_of` tells; with the request header
    `Cache-Control: no-cache` it is not. Hidden tiers are told to the event's organizer, and with
    `promo_code` those that it unlocks.
    """
    services = request.app[SERVICES]
    event_id = request.match_info["event_id"]
    known = services.catalog.get(event_id) or await find_event(services, event_id)
    code = promo_code(request, known)
    if not code and (body := services.leftovers.get(event_id)) and not _wants_news(request):
        return LeanAnswer(200, body, _PUBLIC_LINE)
    asked_at_s = time.monotonic()
    outcome = await services.engine.availability(known.shard, event_id, promo_code=code)
    if isinstance(outcome, Refused):
        raise refusal(outcome)
    tiers = [
        _tier_availability(tier_id, tier_no, outcome.stock)
        for tier_id, tier_no in known.tier_nos.items()
        if f"{tier_no}.available" in outcome.stock
    ]
    body = encode(Availability(event_id=event_id, as_of=moment_of(outcome.at_ms), tiers=tiers))
    if code:
        return LeanAnswer(200, body, _PRIVATE_LINE)
    services.leftovers.keep(event_id, asked_at_s, body)
    return LeanAnswer(200, body, _PUBLIC_LINE)


def _wants_news(request: web.Request) -> bool:
    return "no-cache" in request.headers.get(_CACHE_CONTROL, "")


def _tier_availability(tier_id: str, tier_no: int, stock: dict[str, str]) -> TierAvailability:
    available, held = int(stock[f"{tier_no}.available"]), int(stock[f"{tier_no}.held"])
    waiting = int(stock.get(f"{tier_no}.waiting", 0))
    return TierAvailability(
        tier_id=tier_id,
        capacity=int(stock[f"{tier_no}.capacity"]),
        available=available,
        held=held,
        sold=int(stock[f"{tier_no}.sold"]),
        waiting=waiting,
        status="available"
        if available and not waiting
        else "all_held"
        if available or held
        else "sold_out",
    )
