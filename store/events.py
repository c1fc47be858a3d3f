"""Events and their tiers, as rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from store import seats
from store.sql import Executor, columns, query
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
    #: How it is named in the address of its page; empty: after its name.
    slug: str = ""
    summary: str = ""
    #: Web address of a picture, and what it shows.
    image: str = ""
    image_alt: str = ""
    address: str = ""
    #: Town or district.
    place: str = ""
    doors_at: dt.datetime | None = None
    access_notes: str = ""
    #: Tags of BCP 47 with blanks between.
    languages: str = ""
    #: Of an event that was imported: its id at the source, and a digest of what that said.
    source_id: str | None = None
    source_print: str = ""
    #: Places that tiers share (`engine.pools`), and how each pool is called, a line each.
    pools: str = ""
    pool_names: str = ""
    #: The start that was told first, of an event that starts at another; else None.
    postponed_from: dt.datetime | None = None
    #: When it was taken off view, which a cancelled one may be.
    withdrawn_at: dt.datetime | None = None


class Draft(NamedTuple):
    """A new event with all that belongs to it."""

    event: Event
    tiers: Sequence[Tier]
    sections: Sequence[seats.Section] = ()
    promos: Sequence[Promo] = ()


#: What of an event is its maker's to say, as `insert_events` takes it.
_NEW = tuple(
    name
    for name in Event._fields
    if name
    not in {
        *("status", "version", "created_at", "published_at", "publishing_at", "postponed_from"),
        "withdrawn_at",
    }
)


class Poster(NamedTuple):
    """What an event says of itself on a ticket."""

    name: str
    starts_at: dt.datetime
    timezone: str
    venue: str


async def add(connection: Connection, drafts: Sequence[Draft]) -> None:
    """
    Add events with all that belongs to them, within their organizer's transaction: all or none.

    `status`, `version` and the moments of what became of an event are the database's to set.
    Cost: two statements for all of them, and more for each that has seats or promo codes.
    """
    rows = [[getattr(draft.event, name) for name in _NEW] for draft in drafts]
    await connection.execute(query("insert_events"), *columns([*map(tuple, rows)]))
    tiers = [tuple(tier) for draft in drafts for tier in draft.tiers]
    await connection.execute(query("insert_tiers"), *columns(tiers, len(Tier._fields)))
    for draft in drafts:
        await seats.add(connection, draft.event.id, draft.sections)
        if draft.promos:
            await connection.executemany(
                query("insert_promo"), [(draft.event.id, *promo) for promo in draft.promos]
            )


async def has_any(database: Executor) -> bool:
    """Tell whether there is an event, of whatever state."""
    return bool(await database.fetchval(query("has_events")))


async def delete_draft(connection: Connection, organizer_id: str, event_id: str) -> bool:
    """
    Take a draft away with all that is of it, within its organizer's transaction.

    Returns:
        False if it is no draft, or is being published; then nothing is done.
    """
    return bool(await connection.fetchval(query("delete_draft"), organizer_id, event_id))


async def promos_of(database: Executor, event_id: str) -> list[Promo]:
    """Return the promo codes of an event, in order."""
    rows = await database.fetch(query("promos_of_event"), event_id)
    return [Promo(**dict(row) | {"tier_nos": tuple(row["tier_nos"])}) for row in rows]


async def by_id(database: Executor, event_id: str) -> Event | None:
    """Find an event by its id."""
    found = await by_ids(database, [event_id])
    return found[0] if found else None


async def own(connection: Connection, organizer_id: str, event_id: str) -> Event | None:
    """Find an event of an organizer; others' are not there."""
    found = await by_ids(connection, [event_id], organizer_id)
    return found[0] if found else None


async def by_ids(
    database: Executor, event_ids: Sequence[str], organizer_id: str | None = None
) -> list[Event]:
    """
    Find events by their ids, in that order; those that are not there are left out.

    Args:
        organizer_id: Whose they must be; None: anybody's.
    """
    rows = await database.fetch(query("events_by_ids"), event_ids, organizer_id)
    found = {row["id"]: Event(**row) for row in rows}
    return [found[event_id] for event_id in event_ids if event_id in found]


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
