"""Events as they are found and shown, and their publication."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from hashlib import blake2b

import msgspec

from engine.commands import Promo, Publish, TierStock
from engine.engine import ALL_TIERS
from engine.ids import is_id
from engine.seats import Section
from store import events, seats
from store.pool import Pool
from usecases import told
from usecases.asked import Money
from usecases.catalog import Known
from usecases.denials import as_value, granted, not_found
from usecases.moments import moment_of, ms_of
from usecases.services import Services
from usecases.tokens import Principal


@as_value
async def publish(services: Services, person: Principal, event_id: str) -> told.Event:
    """
    Load the event's stock; from its opening on it may be sold.

    Idempotency: the event is published once. Returns when PostgreSQL has it, too.
    """
    event = await own(services, person, event_id)
    if event.status != "draft":
        # Capacities may have changed since: it is no longer what was published.
        return await view_of(services, event.id)
    pool = services.pools.organizers
    tiers = (await events.tiers_of(pool, [event.id]))[event.id]
    sections = [as_loaded(row) for row in await seats.of_event(pool, event.id)]
    content = Publish(
        event_id=event.id,
        fingerprint="",
        opens_at_ms=ms_of(event.sale_opens_at),
        closes_at_ms=ms_of(event.sale_closes_at),
        person_max=event.person_max,
        tiers=tuple(map(_stock, tiers)),
        section_count=len(sections),
        promos=tuple(Promo(*promo) for promo in await events.promos_of(pool, event.id)),
    )
    for section in sections:
        granted(await services.engine.seat(event.shard, event.id, section))
    # As before there were rules, where there are none: a publishing may be repeated by newer code.
    loaded = content if content.rules.given() else content[:-1]
    print_of = msgspec.json.encode((loaded, sections) if sections else loaded)
    content = content._replace(fingerprint=blake2b(print_of, digest_size=8).hexdigest())
    outcome = granted(await services.engine.publish(event.shard, content))
    await services.settle(event.shard, outcome)
    view = await view_of(services, event.id)
    if view.status == "draft":  # PostgreSQL is behind; the sale is on all the same.
        view = msgspec.structs.replace(
            view, status="published", published_at=moment_of(outcome.at_ms)
        )
    return view


async def published(
    services: Services,
    *,
    after: tuple[dt.datetime, str],
    limit: int,
    text: str | None,
    category: str | None,
    starts_from: dt.datetime | None,
    starts_before: dt.datetime | None,
) -> told.Page[told.Event]:
    """Return a page of published events by start, of those that match."""
    pool = services.pools.search
    found = await events.published(
        pool,
        after=after,
        text=text,
        category=category,
        starts_from=starts_from,
        starts_before=starts_before,
        limit=limit + 1,
    )
    page = found[:limit]
    tiers = await events.tiers_of(pool, [event.id for event in page])
    views = [_view(event, _shown(tiers.get(event.id, []))) for event in page]
    last = (page[-1].starts_at, page[-1].id) if len(found) > limit else None
    return told.Page(views, last)


@as_value
async def read(
    services: Services, person: Principal | None, event_id: str, promo_code: str
) -> told.Seen[told.Event]:
    """
    Return an event; a draft only to its organizer.

    Hidden tiers are shown to its organizer, and those that *promo_code* unlocks.
    """
    event = await find(services.pools.events, event_id)
    code = unlocking(person, event, promo_code)
    if event.status == "draft" and code != ALL_TIERS:
        raise not_found()
    tiers = (await events.tiers_of(services.pools.events, [event.id])).get(event.id, [])
    if code != ALL_TIERS:
        promos = await events.promos_of(services.pools.events, event.id) if code else []
        tiers = _shown(tiers, {no for one in promos if one.code == code for no in one.tier_nos})
    return told.Seen(_view(event, tiers), bool(code))


def unlocking(person: Principal | None, event: events.Event | Known, promo_code: str) -> str:
    """Return what unlocks hidden tiers of *event* for a person: a code, or being organizer."""
    return ALL_TIERS if _is_own(person, event) else promo_code


async def find(pool: Pool, event_id: str) -> events.Event:
    """Return an event, whoever has it; deny one that is not there."""
    event = await events.by_id(pool, event_id) if is_id("evt", event_id) else None
    if event is None:
        raise not_found()
    return event


async def own(services: Services, person: Principal, event_id: str) -> events.Event:
    """Return the event if the person may change it; else it is not there (S8)."""
    event = await find(services.pools.organizers, event_id)
    if not _is_own(person, event):
        raise not_found()
    return event


async def view_of(services: Services, event_id: str) -> told.Event:
    """Return an event as its organizer sees it."""
    pool = services.pools.organizers
    event = await find(pool, event_id)
    return _view(event, (await events.tiers_of(pool, [event_id]))[event_id])


def as_loaded(section: seats.Section) -> Section:
    """Return a section as the engine loads it."""
    rows = tuple(map(int, section.row_seats.split(",")))
    return Section(section.section_no, section.tier_no, rows, section.kinds)


def _stock(tier: events.Tier) -> TierStock:
    return TierStock(
        capacity=tier.capacity,
        price_minor=tier.price_minor,
        order_max=tier.order_max,
        order_min=tier.order_min,
        person_max=tier.person_max,
        opens_at_ms=ms_of(tier.sale_opens_at) if tier.sale_opens_at else 0,
        closes_at_ms=ms_of(tier.sale_closes_at) if tier.sale_closes_at else 0,
        is_hidden=tier.is_hidden,
    )


def leads(person: Principal | None) -> bool:
    """Tell whether there may be events that are the person's own."""
    return person is not None and person.role in {"admin", "organizer"}


def _is_own(person: Principal | None, event: events.Event | Known) -> bool:
    if person is None:
        return False
    return person.role == "admin" or (
        person.role == "organizer" and person.organizer_id == event.organizer_id
    )


def _shown(tiers: list[events.Tier], unlocked: Collection[int] = ()) -> list[events.Tier]:
    """Leave out the hidden tiers that are not unlocked."""
    return [tier for tier in tiers if not tier.is_hidden or tier.tier_no in unlocked]


def _view(event: events.Event, tiers: list[events.Tier]) -> told.Event:
    return told.Event(
        id=event.id,
        organizer_id=event.organizer_id,
        status=event.status,  # type: ignore[arg-type]  # The database's enum has the same values.
        name=event.name,
        description=event.description,
        category=event.category,
        venue=event.venue,
        timezone=event.timezone,
        starts_at=event.starts_at,
        ends_at=event.ends_at,
        sale_opens_at=event.sale_opens_at,
        sale_closes_at=event.sale_closes_at,
        max_per_user=event.person_max,
        version=event.version,
        created_at=event.created_at,
        published_at=event.published_at,
        waitlist_policy=event.waitlist_policy,  # type: ignore[arg-type]
        waitlist_patience_s=event.waitlist_patience_ms // 1000,
        tiers=[
            told.Tier(
                id=tier.id,
                name=tier.name,
                price=Money(tier.price_minor, event.currency),
                capacity=tier.capacity,
                max_per_order=tier.order_max,
                min_per_order=max(1, tier.order_min),
                max_per_user=tier.person_max or None,
                sale_opens_at=tier.sale_opens_at,
                sale_closes_at=tier.sale_closes_at,
                is_hidden=tier.is_hidden,
            )
            for tier in tiers
        ],
    )
