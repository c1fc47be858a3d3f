"""What is left of an event: what a crowd asks most often."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from engine.pools import Left, left_of
from usecases import told
from usecases.catalog import Known
from usecases.denials import as_value, granted
from usecases.events import leads, unlocking
from usecases.moments import moment_of
from usecases.services import Services
from usecases.tokens import Principal


@as_value
async def read(
    services: Services, person: Principal | None, event_id: str, promo_code: str
) -> told.Seen[told.Availability]:
    """
    Tell what is left, all counters of one moment.

    Hidden tiers are told to the event's organizer, and those that *promo_code* unlocks.
    """
    known = services.catalog.get(event_id) or await services.catalog.need(event_id, person=person)
    code = promo_code
    if leads(person):
        code = await unlocking(services, person, known, event_id, promo_code)
    outcome = granted(await services.engine.availability(known.shard, event_id, promo_code=code))
    tiers, as_of = tiers_of(known, outcome.stock), moment_of(outcome.at_ms)
    view = told.Availability(event_id=event_id, as_of=as_of, tiers=tiers)
    return told.Seen(view, bool(code))


def tiers_of(known: Known, stock: dict[str, str]) -> list[told.TierAvailability]:
    """Return what is left of each tier that *stock*, as Redis has told it, shows."""
    return [
        _tier(tier_id, tier_no, stock)
        for tier_id, tier_no in known.tier_nos.items()
        if f"{tier_no}.available" in stock
    ]


def _tier(tier_id: str, tier_no: int, stock: dict[str, str]) -> told.TierAvailability:
    left = left_of(stock, tier_no)
    status: Literal["available", "kept_for_waitlist", "all_held", "sold_out", "event_cancelled"]
    if "cancelled_at_ms" in stock:
        status = "event_cancelled"
    elif left.places:
        status = "kept_for_waitlist" if left.is_waited_for else "available"
    else:
        status = "all_held" if left.held else "sold_out"
    return told.TierAvailability(
        tier_id=tier_id,
        capacity=int(stock[f"{tier_no}.capacity"]),
        available=left.places,
        held=int(stock[f"{tier_no}.held"]),
        sold=int(stock[f"{tier_no}.sold"]),
        waiting=int(stock.get(f"{tier_no}.waiting", 0)),
        status=status,
        returns_at=_returns_at(left) if status == "all_held" else None,
    )


def _returns_at(left: Left) -> dt.datetime | None:
    return None if left.returns_at_ms is None else moment_of(left.returns_at_ms)
