"""What organizers do to an event that is being sold: change, close, reopen, cancel."""

from __future__ import annotations

import datetime as dt

from engine.commands import Reopen, SetCapacity
from engine.emptier import Emptier
from engine.engine import ALL_TIERS
from engine.outcomes import Applied, Refused
from store import changes, events
from usecases import told
from usecases.asked import EventChange
from usecases.denials import Denied, Why, as_value, granted, invalid, not_found
from usecases.events import own, view_of
from usecases.moments import moment_of, ms_of
from usecases.services import Services
from usecases.tokens import Principal

_TEXTS = ("name", "description", "category", "venue")


@as_value
async def change(
    services: Services, person: Principal, event_id: str, edition: str | None, asked: EventChange
) -> told.Event:
    """
    Change an event: texts at any time; capacities and the sale's end also while it is sold.

    Capacities change all or none, and never below what is sold, held and blocked.

    Args:
        edition: What the person has seen of it (`told.Event.edition`), or "*" for whatever it is.
    """
    event = await own(services, person, event_id)
    if edition is None:
        raise Denied(Why.VERSION_WANTED)
    if edition not in {"*", told.edition(event.version, event.status)}:
        raise Denied(Why.VERSION_PASSED)
    capacities = await _capacities(services, event, asked)
    closes_at = None if asked.sale_closes_at is None else _utc(asked.sale_closes_at)
    texts = {name: getattr(asked, name) for name in _TEXTS}
    if closes_at is not None and closes_at <= event.sale_opens_at:
        raise invalid("/sale_closes_at", "is not after sale_opens_at")
    is_draft = event.status == "draft"
    claimed = await changes.claim(
        services.pools.organizers,
        event.id,
        version=event.version,
        texts=texts,
        draft_closes_at=closes_at if is_draft else None,
        draft_capacities=capacities if is_draft else {},
    )
    if not claimed:
        raise Denied(Why.VERSION_PASSED)
    if capacities and not is_draft:
        command = SetCapacity(event.id, tuple(capacities.items()))
        outcome = await services.engine.set_capacity(event.shard, command)
        await _settle(services, event, outcome, "/tiers/{}/capacity")
    if closes_at is not None and not is_draft:
        again = Reopen(event.id, ms_of(closes_at))
        await _settle(services, event, await services.engine.reopen(event.shard, again))
    return await view_of(services, event.id)


@as_value
async def close(services: Services, person: Principal, event_id: str) -> told.Event:
    """End the sale now; live holds may still be confirmed. May be repeated."""
    event = await own(services, person, event_id)
    await _settle(services, event, await services.engine.close(event.shard, event.id))
    return await view_of(services, event.id)


@as_value
async def reopen(
    services: Services, person: Principal, event_id: str, closes_at: dt.datetime
) -> told.Event:
    """Sell on until a later time. May be repeated."""
    event = await own(services, person, event_id)
    command = Reopen(event.id, max(0, ms_of(_utc(closes_at))))
    await _settle(services, event, await services.engine.reopen(event.shard, command))
    return await view_of(services, event.id)


@as_value
async def cancel(services: Services, person: Principal, event_id: str) -> told.Cancellation:
    """
    Call the event off, for good. Nobody gets a place from now on.

    All holds and bookings end in bounded steps: those of a small event before this returns, the
    others afterwards, even if this process ends. May be repeated.
    """
    event = await own(services, person, event_id)
    await _settle(services, event, await services.engine.cancel_event(event.shard, event.id))
    await Emptier(services.engine.shards[event.shard]).empty(event.id)
    return await _progress(services, event)


@as_value
async def cancellation(services: Services, person: Principal, event_id: str) -> told.Cancellation:
    """Tell how many places of a cancelled event are still to be given back."""
    event = await own(services, person, event_id)
    if event.status != "cancelled":
        raise not_found()
    return await _progress(services, event)


async def _progress(services: Services, event: events.Event) -> told.Cancellation:
    outcome = granted(
        await services.engine.availability(event.shard, event.id, promo_code=ALL_TIERS)
    )
    left = sum(
        int(value) for name, value in outcome.stock.items() if name.endswith((".held", ".sold"))
    )
    return told.Cancellation(
        event_id=event.id,
        status="cancelling" if left else "cancelled",
        places_left=left,
        as_of=moment_of(outcome.at_ms),
    )


async def _settle(
    services: Services, event: events.Event, outcome: Applied | Refused, line_at: str = ""
) -> None:
    """Wait until PostgreSQL has the change, so that the answer shows it; deny what is refused."""
    await services.settle(event.shard, granted(outcome, line_at))


async def _capacities(
    services: Services, event: events.Event, asked: EventChange
) -> dict[int, int]:
    """Return the wanted capacities by tier_no, in the order of the request."""
    if not asked.tiers:
        return {}
    rows = (await events.tiers_of(services.pools.organizers, [event.id]))[event.id]
    numbers = {tier.id: tier.tier_no for tier in rows}
    found: dict[int, int] = {}
    for index, tier in enumerate(asked.tiers):
        tier_no = numbers.get(tier.id)
        if tier_no is None or tier_no in found:
            why = "is not a tier of this event" if tier_no is None else "stands there already"
            raise invalid(f"/tiers/{index}/id", why)
        found[tier_no] = tier.capacity
    return found


def _utc(moment: dt.datetime) -> dt.datetime:
    try:
        return moment.astimezone(dt.UTC)
    except OverflowError as error:
        raise invalid("/sale_closes_at", "is out of range") from error
