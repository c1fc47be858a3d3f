"""
What the reconciler reads: the ledger as it stood at one moment, and nothing is ever written.

All functions but `begin` expect a transaction begun by `begin`: a snapshot, so that checkpoint,
journal and rows are of one moment however long the reading takes. Tables that grow with sales are
read through server-side cursors, a chunk at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import asyncpg
from asyncpg.transaction import Transaction

from store.sql import query

#: Rows that a cursor brings per round trip.
ROWS_CHUNK = 2_000
#: Journal rows per round trip: each holds a whole batch of records.
BATCHES_CHUNK = 8


class EventRow(NamedTuple):
    """An event as its organizer made it; `status` as in PostgreSQL."""

    id: str
    shard: int
    status: str
    #: The rest is of its sale; None where it was not asked for.
    closes_at_ms: int | None = None
    opens_at_ms: int | None = None
    person_max: int | None = None
    transfers: str | None = None
    offer_ttl_ms: int | None = None
    pools: str | None = None
    cancelled_at_ms: int | None = None
    published_at_ms: int | None = None


class TierRow(NamedTuple):
    """A tier as its organizer made it."""

    event_id: str
    tier_no: int
    id: str
    price_minor: int
    capacity: int
    order_max: int
    #: Rules of its own; 0 for those that it does not have.
    order_min: int = 0
    person_max: int = 0
    opens_at_ms: int = 0
    closes_at_ms: int = 0
    is_hidden: int = 0
    sells_after_end: int = 0


class PromoRow(NamedTuple):
    """A promo code as its event was made with it."""

    event_id: str
    code: str
    uses_max: int
    percent: int
    amount_minor: int
    tier_nos: tuple[int, ...]


class BatchRow(NamedTuple):
    """One persisted batch of the journal, `records` joined by newlines."""

    epoch: int
    first_seq: int
    last_seq: int
    records: str
    #: When the first of them was made, Unix ms; None where it was not asked for.
    first_at_ms: int | None = None


class BookingRow(NamedTuple):
    """A booking with its lines as `tier_no:quantity:price_minor,...`; times are Unix ms."""

    id: str
    event_id: str
    user_id: str
    status: str
    version: int
    total_minor: int
    shard: int
    epoch: int
    seq: int
    at_ms: int
    cancelled_at_ms: int | None
    fingerprint: str
    special_requests: str | None
    #: JSON text.
    metadata: str | None
    #: What it was made with and what was cut since, as Redis keeps it; None if nothing was.
    cuts: str | None
    #: None if the booking has no line.
    items: str | None
    #: Place of the record that cancelled it; of old rows it is not known.
    cancelled_epoch: int | None = None
    cancelled_seq: int | None = None


class TicketRow(NamedTuple):
    """A ticket."""

    event_id: str
    booking_id: str
    id: str
    tier_no: int
    seat_id: str | None
    #: False once a booking with seats is cancelled.
    is_live: bool


class ScanRow(NamedTuple):
    """A scan at a gate; times are Unix ms, 0 for one that nobody told."""

    event_id: str
    epoch: int
    seq: int
    ticket_id: str
    booking_id: str
    scan_id: str
    what: str
    gate: str
    scanned_by: str
    scanned_at_ms: int
    at_ms: int


class SectionRow(NamedTuple):
    """A section as its organizer made it."""

    event_id: str
    section_no: int
    tier_no: int
    row_seats: str
    kinds: str


def begin(connection: asyncpg.Connection) -> Transaction:
    """Return the transaction in which to read: repeatable read, and read only."""
    return connection.transaction(isolation="repeatable_read", readonly=True)


async def checkpoints(connection: asyncpg.Connection, shard: int) -> dict[int, int]:
    """Return the last persisted record of each epoch."""
    rows = await connection.fetch(query("checkpoints"), shard)
    return {row["epoch"]: row["last_seq"] for row in rows}


async def events(connection: asyncpg.Connection, shard: int) -> list[EventRow]:
    """Return the events of a shard, in order of their ids."""
    return [EventRow(*row) for row in await connection.fetch(query("audit_events"), shard)]


async def shards_of_events(
    connection: asyncpg.Connection, first_id: str, last_id: str
) -> list[int]:
    """Return the shards of the events from one id to another; needs no transaction."""
    rows = await connection.fetch(query("audit_shards_of_events"), first_id, last_id)
    return [row["shard"] for row in rows]


async def unknown_shards(connection: asyncpg.Connection) -> list[int]:
    """Return the shards that have events or checkpoints, and no row of their own."""
    return [row["shard"] for row in await connection.fetch(query("audit_unknown_shards"))]


async def event_rows(
    connection: asyncpg.Connection, event_ids: Sequence[str]
) -> dict[str, EventRow]:
    """Return those of the events that exist."""
    rows = await connection.fetch(query("audit_event_rows"), event_ids)
    return {row["id"]: EventRow(*row) for row in rows}


async def tiers(
    connection: asyncpg.Connection, event_ids: Sequence[str]
) -> dict[str, list[TierRow]]:
    """Return the tiers of some events by event, in order."""
    found: dict[str, list[TierRow]] = {event_id: [] for event_id in event_ids}
    for row in await connection.fetch(query("audit_tiers"), event_ids):
        found[row["event_id"]].append(TierRow(*row))
    return found


async def promos(
    connection: asyncpg.Connection, event_ids: Sequence[str]
) -> dict[str, list[PromoRow]]:
    """Return the promo codes of some events by event, in order."""
    found: dict[str, list[PromoRow]] = {event_id: [] for event_id in event_ids}
    for row in await connection.fetch(query("audit_promos"), event_ids):
        found[row["event_id"]].append(PromoRow(**{**row, "tier_nos": tuple(row["tier_nos"])}))
    return found


async def journal(
    connection: asyncpg.Connection, shard: int, *, after: tuple[int, int] = (0, 0)
) -> AsyncIterator[BatchRow]:
    """Yield the batches of a shard that begin after (epoch, seq), in order."""
    cursor = connection.cursor(query("audit_journal"), shard, *after, prefetch=BATCHES_CHUNK)
    async for row in cursor:
        yield BatchRow(*row)


async def shard_bookings(connection: asyncpg.Connection, shard: int) -> AsyncIterator[BookingRow]:
    """Yield all bookings of a shard, in no order."""
    async for row in connection.cursor(query("audit_shard_bookings"), shard, prefetch=ROWS_CHUNK):
        yield BookingRow(*row)


async def bookings(
    connection: asyncpg.Connection, event_ids: Sequence[str]
) -> AsyncIterator[BookingRow]:
    """Yield all bookings of some events, in no order."""
    async for row in connection.cursor(query("audit_bookings"), event_ids, prefetch=ROWS_CHUNK):
        yield BookingRow(*row)


async def tickets(
    connection: asyncpg.Connection, event_ids: Sequence[str]
) -> AsyncIterator[TicketRow]:
    """Yield all tickets of some events, in no order."""
    async for row in connection.cursor(query("audit_tickets"), event_ids, prefetch=ROWS_CHUNK):
        yield TicketRow(*row)


async def sections(
    connection: asyncpg.Connection, event_ids: Sequence[str]
) -> dict[str, list[SectionRow]]:
    """Return the sections of some events by event, in order."""
    found: dict[str, list[SectionRow]] = {event_id: [] for event_id in event_ids}
    for row in await connection.fetch(query("audit_sections"), event_ids):
        found[row["event_id"]].append(SectionRow(*row))
    return found


async def blocked_seats(
    connection: asyncpg.Connection, event_ids: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Return the blocked seats of some events with their tiers, by event."""
    found: dict[str, dict[str, int]] = {event_id: {} for event_id in event_ids}
    for row in await connection.fetch(query("audit_blocked_seats"), event_ids):
        found[row["event_id"]][row["seat_id"]] = row["tier_no"]
    return found


async def shard_blocked_seats(
    connection: asyncpg.Connection, shard: int
) -> set[tuple[str, str, int]]:
    """Return all blocked seats of a shard, each with its event and its tier."""
    rows = await connection.fetch(query("audit_shard_blocked_seats"), shard)
    return {(row["event_id"], row["seat_id"], row["tier_no"]) for row in rows}


async def sale_changes(
    connection: asyncpg.Connection, shard: int, *, after: tuple[int, int]
) -> AsyncIterator[BatchRow]:
    """Yield those batches after (epoch, seq), in order, that may change an event's sale."""
    async for row in connection.cursor(query("audit_sale_changes"), shard, *after, prefetch=8):
        yield BatchRow(*row)


async def ticket_changes(
    connection: asyncpg.Connection, event_ids: Sequence[str]
) -> AsyncIterator[asyncpg.Record]:
    """Yield the tickets of some events that were ever changed, in no order."""
    cursor = connection.cursor(query("audit_ticket_changes"), event_ids, prefetch=ROWS_CHUNK)
    async for row in cursor:
        yield row


async def lost_scans(
    connection: asyncpg.Connection, event_ids: Sequence[str], *, rows_max: int
) -> list[tuple[str, str, str]]:
    """Return (event, ticket, scan) of scans that a ticket remembers and that have no row."""
    rows = await connection.fetch(query("audit_lost_scans"), event_ids, rows_max)
    return [(row["event_id"], row["id"], row["scan_id"]) for row in rows]


async def scans(
    connection: asyncpg.Connection, shard: int, event_ids: Sequence[str] | None = None
) -> AsyncIterator[ScanRow]:
    """Yield all scans of a shard, or of some of its events, in no order."""
    cursor = connection.cursor(query("audit_scans"), shard, event_ids, prefetch=ROWS_CHUNK)
    async for row in cursor:
        yield ScanRow(*row)


async def orphan_items(
    connection: asyncpg.Connection, event_ids: Sequence[str], *, rows_max: int
) -> list[tuple[str, str, int]]:
    """Return (event, booking, tier_no) of lines whose booking has no row."""
    rows = await connection.fetch(query("audit_orphan_items"), event_ids, rows_max)
    return [(row["event_id"], row["booking_id"], row["tier_no"]) for row in rows]
