"""
Events as they are now: PostgreSQL's rows, and over them what the script that sells has decided.

PostgreSQL follows the journal and may be behind it: an event that is being sold can still be a
draft there, with capacities and an end that it no longer has. So nobody decides by its `status`
alone. Only a draft whose publishing has not begun (`publishing_at`) is surely a draft: its stock is
nowhere.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from engine.engine import ALL_TIERS, Engine
from engine.errors import EventRecovering, OutcomeUnknown, ShardUnavailable
from engine.outcomes import Refused
from engine.status import Status
from store.events import Event, Tier
from usecases.moments import moment_of, ms_of


def is_untouched(event: Event) -> bool:
    """Tell whether an event is a draft that nobody has begun to publish."""
    return event.status == "draft" and event.publishing_at is None


async def is_loaded(engine: Engine, shard: int, event_id: str) -> bool:
    """
    Tell whether an event's stock is loaded.

    Raises:
        ShardUnavailable, OutcomeUnknown: nobody can tell now.
    """
    found = await engine.availability(shard, event_id, promo_code=ALL_TIERS)
    return not (isinstance(found, Refused) and found.status is Status.NOT_ON_SALE)


async def as_sold(
    engine: Engine, event: Event, tiers: Sequence[Tier]
) -> tuple[Event, Sequence[Tier]]:
    """
    Return an event's rows as they are once PostgreSQL has all that Redis has now.

    While Redis is away, or has lost its part, what PostgreSQL says is the newest there is.

    Raises:
        ShardUnavailable, OutcomeUnknown: nobody can tell whether the event is a draft.
    """
    if is_untouched(event):
        return event, tiers
    try:
        found = await engine.availability(event.shard, event.id, promo_code=ALL_TIERS)
    except (ShardUnavailable, OutcomeUnknown):
        if event.status == "draft":
            raise
        return event, tiers
    if isinstance(found, Refused):
        if found.status is Status.EVENT_DAMAGED and event.status == "draft":
            raise EventRecovering
        return event, tiers
    stock = found.stock
    closes_at_ms = int(stock["closes_at_ms"])
    is_moved = closes_at_ms != ms_of(event.sale_closes_at)
    return event._replace(
        status=_status(event, stock, found.at_ms if is_moved else 0),
        sale_closes_at=moment_of(closes_at_ms) if is_moved else event.sale_closes_at,
        sale_opens_at=_moment(stock, "opens_at_ms", event.sale_opens_at) or event.sale_opens_at,
        person_max=int(stock["person_max"]),
        published_at=event.published_at or moment_of(int(stock["at_ms"])),
        pools=stock.get("pools", event.pools),
    ), [_tier(tier, stock) for tier in tiers]


def _tier(tier: Tier, stock: Mapping[str, str]) -> Tier:
    """Return a tier's row as its counters and rules are in Redis."""
    at = f"{tier.tier_no}."
    if f"{at}capacity" not in stock:
        return tier
    return tier._replace(
        capacity=int(stock[f"{at}capacity"]),
        price_minor=int(stock[f"{at}price_minor"]),
        order_max=int(stock[f"{at}order_max"]),
        order_min=int(stock.get(f"{at}order_min") or 0),
        person_max=int(stock.get(f"{at}person_max") or 0),
        sale_opens_at=_moment(stock, f"{at}opens_at_ms", tier.sale_opens_at),
        sale_closes_at=_moment(stock, f"{at}closes_at_ms", tier.sale_closes_at),
    )


def _moment(stock: Mapping[str, str], name: str, row: dt.datetime | None) -> dt.datetime | None:
    """Return a moment as the row has it, or as Redis has it if that is another."""
    at_ms = int(stock.get(name) or 0)
    if at_ms == (ms_of(row) if row else 0):
        return row
    return moment_of(at_ms) if at_ms else None


def _status(event: Event, stock: Mapping[str, str], at_ms: int) -> str:
    """Return an event's status at *at_ms*; 0 if its sale ends when PostgreSQL says."""
    if "cancelled_at_ms" in stock:
        return "cancelled"
    if at_ms:
        return "closed" if int(stock["closes_at_ms"]) <= at_ms else "published"
    return "published" if event.status == "draft" else event.status
