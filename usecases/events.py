"""Events as they are shown, and their publication."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from hashlib import blake2b

import msgspec

from engine.commands import Promo, Publish, TierStock
from engine.engine import ALL_TIERS
from engine.ids import is_id
from engine.outcomes import Applied, Refused
from engine.pools import parse
from engine.records import Rules
from engine.seats import Section, section_of
from engine.status import Status
from store import changes, events, seats, tenants
from store.pool import Database
from store.tenants import Connection
from usecases import acts, rights, told
from usecases.asked import Money
from usecases.catalog import Known
from usecases.denials import as_value, granted, invalid, not_found
from usecases.links import slug_of
from usecases.moments import ms_of, over_at
from usecases.present import as_sold
from usecases.rights import Act
from usecases.services import Services
from usecases.tokens import Principal


@as_value
async def publish(services: Services, person: Principal, event_id: str) -> told.Event:
    """
    Load the event's stock; from its opening on it may be sold.

    Idempotency: the event is published once. Returns when PostgreSQL has it, too. From its first
    call on the draft is what will be loaded: nobody changes it as a draft any more.
    """
    event = await own(services, person, event_id, Act.PUBLISH)
    if event.status != "draft":
        # Capacities may have changed since: it is no longer what was published.
        return await view_of(services, event)
    pool = services.pools.organizers
    async with tenants.rows_of(pool, event.organizer_id) as connection:
        await _content(connection, event)  # What cannot be loaded stays a draft.
    async with acts.intended(pool, person, "event.publish", event.id) as act:
        act.before, act.after = {"status": event.status}, {"status": "published"}
        async with tenants.rows_of(pool, event.organizer_id) as connection:
            await changes.begin_publishing(connection, event.organizer_id, event.id)
            event = await again(connection, event)
            content, sections = await _content(connection, event)
        outcome = await _load(services, event.shard, content, sections)
        # With other content than this it was loaded before: what is on sale is what is shown.
        if not (isinstance(outcome, Refused) and outcome.status is Status.IDEMPOTENCY_KEY_REUSED):
            await services.settle(event.shard, granted(outcome))
    return await view_of(services, event)


async def _load(
    services: Services, shard: int, content: Publish, sections: Sequence[Section]
) -> Applied | Refused:
    for section in sections:
        refused = await services.engine.seat(shard, content.event_id, section)
        if refused is not None:
            return refused
    return await services.engine.publish(shard, content)


async def _content(connection: Connection, event: events.Event) -> tuple[Publish, list[Section]]:
    """Return what is loaded of an event; deny what the script would not take."""
    tiers = (await events.tiers_of(connection, [event.id]))[event.id]
    sections = [as_loaded(row) for row in await seats.of_event(connection, event.id)]
    _require_loadable(event, tiers, sections)
    content = Publish(
        event_id=event.id,
        fingerprint="",
        opens_at_ms=ms_of(event.sale_opens_at),
        closes_at_ms=ms_of(event.sale_closes_at),
        person_max=event.person_max,
        tiers=tuple(map(_stock, tiers)),
        section_count=len(sections),
        promos=tuple(Promo(*promo) for promo in await events.promos_of(connection, event.id)),
        rules=_rules(event, tiers),
    )
    # As before there were rules, where there are none: a publishing may be repeated by newer code.
    loaded = content if content.rules.given() else content[:-1]
    print_of = msgspec.json.encode((loaded, sections) if sections else loaded)
    fingerprint = blake2b(print_of, digest_size=8).hexdigest()
    return content._replace(fingerprint=fingerprint), sections


def _require_loadable(
    event: events.Event, tiers: Sequence[events.Tier], sections: Sequence[Section]
) -> None:
    """Deny a draft, perhaps of older code, whose seats or times do not go together."""
    if ms_of(event.sale_closes_at) <= ms_of(event.sale_opens_at):
        raise invalid("/sale_closes_at", "is not after sale_opens_at")
    counts = seats_of_tiers(sections)
    for tier in tiers:
        count = counts.get(tier.tier_no, tier.capacity)
        if tier.capacity != count:
            raise invalid(f"/tiers/{tier.tier_no - 1}/capacity", not_its_seats(count))
        stock = _stock(tier)
        if stock.closes_at_ms and stock.closes_at_ms <= stock.opens_at_ms:
            at = f"/tiers/{tier.tier_no - 1}/sale_closes_at"
            raise invalid(at, "is not after the tier's sale_opens_at")


def seats_of_tiers(sections: Iterable[Section]) -> dict[int, int]:
    """Return how many seats each seated tier has: its capacity."""
    counts: dict[int, int] = {}
    for section in sections:
        counts[section.tier_no] = counts.get(section.tier_no, 0) + sum(section.rows)
    return counts


def not_its_seats(count: int) -> str:
    """Say that a seated tier has no other capacity than its seats."""
    return f"is not its number of seats, {count}; to sell fewer, block some"


@as_value
async def read(
    services: Services, person: Principal | None, event_id: str, promo_code: str
) -> told.Seen[told.Event]:
    """
    Return an event; a draft only to its organizer's team.

    Hidden tiers are shown to those, and what *promo_code* unlocks of them to all.
    """
    # Who may have changed it is shown what stands, whichever process has done it.
    page = None
    if is_id("evt", event_id):
        page = await services.catalog.page(event_id, anew=leads(person))
    if page is None or page.event.withdrawn_at is not None:
        raise not_found()
    event = page.event
    is_leading = leads(person) or event.status == "draft"
    code = await unlocking(services, person if is_leading else None, event, event_id, promo_code)
    event, tiers = await as_sold(services.engine, event, page.tiers)
    if event.status == "draft" and code != ALL_TIERS:
        raise await rights.unseen(services.standings, person)
    if code != ALL_TIERS:
        promos = await events.promos_of(services.pools.events, event.id) if code else []
        tiers = shown(tiers, {no for one in promos if one.code == code for no in one.tier_nos})
    return told.Seen(view(event, tiers), bool(code))


@as_value
async def managed(services: Services, person: Principal, event_id: str) -> told.Event:
    """Return an event to who makes it, with all its tiers; others' are not there (S8)."""
    event = await own(services, person, event_id, Act.SEE)
    if event.withdrawn_at is not None:
        raise not_found()
    return await view_of(services, event)


async def has_codes(services: Services, event_id: str) -> bool:
    """Tell whether an event has promo codes, so that a page asks for one where there is one."""
    return bool(await events.promos_of(services.pools.events, event_id))


async def unlocking(
    services: Services,
    person: Principal | None,
    event: events.Event | Known,
    event_id: str,
    promo_code: str,
) -> str:
    """Return what unlocks hidden tiers of *event* for a person: a code, or their place."""
    if await rights.sees(services.standings, person, event.organizer_id, event_id):
        return ALL_TIERS
    return promo_code


async def find(database: Database, event_id: str) -> events.Event:
    """Return an event's row, whoever has it; deny one that is not there."""
    event = await events.by_id(database, event_id) if is_id("evt", event_id) else None
    if event is None:
        raise not_found()
    return event


async def own(services: Services, person: Principal, event_id: str, act: Act) -> events.Event:
    """Return the event's row if the person may do *act* to it (`usecases.rights`)."""
    event = await find(services.pools.organizers, event_id)
    await rights.require(services.standings, person, act, event.organizer_id, event_id)
    return event


async def again(connection: Connection, event: events.Event) -> events.Event:
    """Return the event's row as it is now, within its organizer's transaction."""
    found = await events.own(connection, event.organizer_id, event.id)
    if found is None:
        raise not_found()
    return found


async def view_of(services: Services, event: events.Event) -> told.Event:
    """Return an event as its organizer, who may have changed it just now, sees it."""
    services.catalog.drop(event.id)
    async with tenants.rows_of(services.pools.organizers, event.organizer_id) as connection:
        event = await again(connection, event)
        tiers = (await events.tiers_of(connection, [event.id]))[event.id]
    return view(*await as_sold(services.engine, event, tiers))


def as_loaded(section: seats.Section) -> Section:
    """Return a section as the engine loads it."""
    return section_of(section.section_no, section.tier_no, section.row_seats, section.kinds)


def _rules(event: events.Event, tiers: list[events.Tier]) -> Rules:
    after_end = [tier.tier_no for tier in tiers if tier.sells_after_end]
    ends_at = over_at(event.starts_at, event.ends_at)
    if not after_end:
        # A draft of older code may be sold for longer; its organizer meant it so.
        ends_at = max(ends_at, event.sale_closes_at)
    return Rules(
        transfers=event.transfers,  # type: ignore[arg-type]  # As the database.
        offer_ttl_ms=event.offer_ttl_ms,
        ends_at_ms=ms_of(ends_at),
        after_end=f"t{'t'.join(map(str, after_end))}t" if after_end else "",
        pools=event.pools,
    )


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
    """Tell whether there may be events of which a person sees more, as the token has it."""
    return person is not None and person.role in {"admin", "organizer", "staff"}


def shown(tiers: Sequence[events.Tier], unlocked: Collection[int] = ()) -> list[events.Tier]:
    """Leave out the hidden tiers that are not unlocked."""
    return [tier for tier in tiers if not tier.is_hidden or tier.tier_no in unlocked]


def view(event: events.Event, tiers: Sequence[events.Tier]) -> told.Event:
    """Return an event's rows as they are told."""
    return told.Event(
        id=event.id,
        organizer_id=event.organizer_id,
        status=event.status,  # type: ignore[arg-type]  # The database's enum has the same values.
        name=event.name,
        description=event.description,
        category=event.category,
        venue=event.venue,
        slug=event.slug or slug_of(event.name) or "event",
        summary=event.summary,
        image=event.image,
        image_alt=event.image_alt,
        address=event.address,
        place=event.place,
        access_notes=event.access_notes,
        languages=event.languages.split(),
        timezone=event.timezone,
        starts_at=event.starts_at,
        ends_at=event.ends_at,
        doors_at=event.doors_at,
        postponed_from=event.postponed_from,
        sale_opens_at=event.sale_opens_at,
        sale_closes_at=event.sale_closes_at,
        max_per_user=event.person_max,
        version=event.version,
        created_at=event.created_at,
        published_at=event.published_at,
        waitlist_policy=event.waitlist_policy,  # type: ignore[arg-type]
        waitlist_patience_s=event.waitlist_patience_ms // 1000,
        transfers=event.transfers,  # type: ignore[arg-type]
        offer_ttl_s=event.offer_ttl_ms // 1000 or None,
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
                sells_after_end=tier.sells_after_end,
            )
            for tier in tiers
        ],
        pools=_pools(event, tiers),
    )


def _pools(event: events.Event, tiers: Sequence[events.Tier]) -> list[told.SharedPool]:
    """Return the pools of an event as they are told to who is shown these tiers."""
    ids = {tier.tier_no: tier.id for tier in tiers}
    found = [
        told.SharedPool(
            name=name,
            capacity=pool.capacity,
            tier_ids=[ids[tier_no] for tier_no in pool.tier_nos if tier_no in ids],
        )
        for name, pool in zip(event.pool_names.split("\n"), parse(event.pools), strict=False)
    ]
    return [pool for pool in found if pool.tier_ids]
