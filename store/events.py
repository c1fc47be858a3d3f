"""Events and their tiers, as rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from store import seats
from store.sql import Executor, query
from store.tenants import Connection


class Tier(NamedTuple):
    """A kind of ticket; numbered from 1 within its event."""

    event_id: str
    tier_no: int
    id: str
    name: str
    price_minor: int
    capacity: int
    order_max: int
    #: Rules of its own; 0 or None for those that it does not have.
    order_min: int = 0
    person_max: int = 0
    sale_opens_at: dt.datetime | None = None
    sale_closes_at: dt.datetime | None = None
    #: Only a promo code that names the tier unlocks it.
    is_hidden: bool = False
    #: It is sold although the event is over.
    sells_after_end: bool = False


class Promo(NamedTuple):
    """
    A promo code: `percent` or `amount_minor` off each place of its tiers, all if none.

    It unlocks the hidden ones of those it names; then it may take nothing off.
    """

    code: str
    uses_max: int
    percent: int
    amount_minor: int
    tier_nos: tuple[int, ...]


class Event(NamedTuple):
    """An event; `status` is draft or published, `version` starts at 1 and grows by change."""

    id: str
    organizer_id: str
    shard: int
    status: str
    name: str
    description: str
    category: str
    venue: str
    timezone: str
    currency: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    sale_opens_at: dt.datetime
    sale_closes_at: dt.datetime
    person_max: int
    version: int
    created_at: dt.datetime
    published_at: dt.datetime | None
    #: `strict` or `skip`, and how long the head of a strict list may stop it.
    waitlist_policy: str = "strict"
    waitlist_patience_ms: int = 900_000
    #: Whose a ticket is that was given away: `holder` or `buyer`; `none`: it cannot be.
    transfers: str = "holder"
    #: How long an offer lasts; 0 for the longer the further the sale's end is.
    offer_ttl_ms: int = 0
    #: When its publishing began; from then on Redis has the say whether it is a draft.
    publishing_at: dt.datetime | None = None


class Poster(NamedTuple):
    """What an event says of itself on a ticket."""

    name: str
    starts_at: dt.datetime
    timezone: str
    venue: str


async def add(
    connection: Connection,
    event: Event,
    tiers: Sequence[Tier],
    sections: Sequence[seats.Section] = (),
    promos: Sequence[Promo] = (),
) -> None:
    """
    Add an event with its tiers and sections, within its organizer's transaction.

    `status`, `version` and the moments of what became of *event* are the database's to set.
    """
    await connection.execute(
        query("insert_event"),
        event.id,
        event.organizer_id,
        event.shard,
        event.name,
        event.description,
        event.category,
        event.venue,
        event.timezone,
        event.currency,
        event.starts_at,
        event.ends_at,
        event.sale_opens_at,
        event.sale_closes_at,
        event.person_max,
        event.waitlist_policy,
        event.waitlist_patience_ms,
        event.transfers,
        event.offer_ttl_ms,
    )
    await connection.execute(
        query("insert_tiers"),
        event.id,
        [tier.tier_no for tier in tiers],
        [tier.id for tier in tiers],
        [tier.name for tier in tiers],
        [tier.price_minor for tier in tiers],
        [tier.capacity for tier in tiers],
        [tier.order_max for tier in tiers],
        [tier.order_min for tier in tiers],
        [tier.person_max for tier in tiers],
        [tier.sale_opens_at for tier in tiers],
        [tier.sale_closes_at for tier in tiers],
        [tier.is_hidden for tier in tiers],
        [tier.sells_after_end for tier in tiers],
    )
    await seats.add(connection, event.id, sections)
    if promos:
        await connection.executemany(
            query("insert_promo"), [(event.id, *promo) for promo in promos]
        )


async def promos_of(database: Executor, event_id: str) -> list[Promo]:
    """Return the promo codes of an event, in order."""
    rows = await database.fetch(query("promos_of_event"), event_id)
    return [Promo(**dict(row) | {"tier_nos": tuple(row["tier_nos"])}) for row in rows]


async def by_id(database: Executor, event_id: str) -> Event | None:
    """Find an event by its id."""
    row = await database.fetchrow(query("event_by_id"), event_id)
    return None if row is None else Event(**row)


async def posters(database: Executor, event_ids: Sequence[str]) -> dict[str, Poster]:
    """Return what some events say of themselves, by event id."""
    rows = await database.fetch(query("posters_of_events"), event_ids)
    return {row["id"]: Poster(*row[1:]) for row in rows}


async def ids_between(database: Executor, first: str, last: str) -> list[str]:
    """Return the ids of the events between two ids, both included; at most ten."""
    return [row["id"] for row in await database.fetch(query("event_ids_between"), first, last)]


async def shards_between(database: Executor, first: str, last: str) -> set[int]:
    """Return the shards of the events between two ids, both included."""
    return {row["shard"] for row in await database.fetch(query("event_ids_between"), first, last)}


async def tiers_of(database: Executor, event_ids: Iterable[str]) -> dict[str, list[Tier]]:
    """Return the tiers of some events, by event id, in order of their numbers."""
    found: dict[str, list[Tier]] = {}
    for row in await database.fetch(query("tiers_of_events"), list(event_ids)):
        found.setdefault(row["event_id"], []).append(Tier(**row))
    return found


async def published(
    database: Executor,
    *,
    after: tuple[dt.datetime, str],
    text: str | None,
    category: str | None,
    starts_from: dt.datetime | None,
    starts_before: dt.datetime | None,
    limit: int,
) -> list[Event]:
    """
    Return a page of events by start, continuing after (starts_at, id).

    Those that are drafts still have their publishing begun; whether it is done, Redis knows.
    """
    rows = await database.fetch(
        query("published_events"), *after, text, category, starts_from, starts_before, limit
    )
    return [Event(**row) for row in rows]
