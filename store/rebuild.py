"""
What Redis is rebuilt from: the ledger, as rows of text that are already what Redis keeps.

Large tables come out by COPY, a chunk at a time, put together by PostgreSQL; Python never makes an
object of a booking. Reads only. Nothing here is read in one snapshot: the shard is fenced, and its
one writer is the recovery that reads.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import NamedTuple

import asyncpg

from store import audit
from store.sql import query

#: Takes rows of (event_id, field, value).
Sink = Callable[[list[bytes]], Awaitable[None]]

#: Time one COPY may take, in seconds: it has as many rows as the events of a group have bookings.
COPY_TIMEOUT_S = 3_600


class EventStatus(NamedTuple):
    """An event of the shard, whatever its status."""

    id: str
    status: str


@contextlib.asynccontextmanager
async def patience(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Let statements of this connection take as long as a large shard needs."""
    await connection.execute(query("wait_long"))
    yield
    await connection.execute(query("wait_as_usual"))


async def events(connection: asyncpg.Connection, shard: int) -> list[EventStatus]:
    """Return all events of a shard, in order."""
    return [EventStatus(*row) for row in await connection.fetch(query("rebuild_events"), shard)]


async def booking_counts(connection: asyncpg.Connection, shard: int) -> dict[str, int]:
    """Return the number of bookings of each event that has any."""
    rows = await connection.fetch(query("rebuild_counts"), shard)
    return {row["event_id"]: row["bookings"] for row in rows}


async def copy_bookings(
    connection: asyncpg.Connection, event_ids: Sequence[str], sink: Sink
) -> None:
    """
    Stream the bookings of some events into *sink*, as `bookings` keeps them.

    Cost: memory of one chunk; the sink's own waiting holds PostgreSQL back.

    Args:
        sink: Gets event_id, field, value, event_id, field, value, ... of whole rows.
    """
    await _copy(connection, query("rebuild_bookings"), event_ids, sink)


async def copy_persons(
    connection: asyncpg.Connection, event_ids: Sequence[str], sink: Sink
) -> None:
    """Stream what each person has of some events, as `copy_bookings` does."""
    await _copy(connection, query("rebuild_persons"), event_ids, sink)


async def copy_tier_persons(
    connection: asyncpg.Connection, event_ids: Sequence[str], sink: Sink
) -> None:
    """Stream what each person has of tiers with a limit per person, as `copy_bookings` does."""
    await _copy(connection, query("rebuild_tier_persons"), event_ids, sink)


async def _copy(
    connection: asyncpg.Connection, statement: str, event_ids: Sequence[str], sink: Sink
) -> None:
    rest = b""
    failure: Exception | None = None

    async def take(data: bytes) -> None:
        nonlocal rest, failure
        whole, newline, rest = (rest + data).rpartition(b"\n")
        if not newline or failure is not None:
            return
        try:
            # No value of these columns has a blank but a space, or a backslash.
            await sink(whole.replace(b"\n", b"\t").split(b"\t"))
        except Exception as error:  # noqa: BLE001  The connection must read the COPY to its end.
            failure = error

    await connection.copy_from_query(
        statement.rstrip(";"), list(event_ids), output=take, timeout=COPY_TIMEOUT_S
    )
    if failure is not None:
        raise failure


async def sold(
    connection: asyncpg.Connection, event_ids: Sequence[str]
) -> dict[tuple[str, int], int]:
    """Return the places of live bookings by event and tier."""
    rows = await connection.fetch(query("rebuild_sold"), event_ids, timeout=COPY_TIMEOUT_S)
    return {(row["event_id"], row["tier_no"]): int(row["places"]) for row in rows}


async def promo_uses(
    connection: asyncpg.Connection, event_ids: Sequence[str]
) -> dict[tuple[str, str], int]:
    """Return how many live bookings have each promo code, by event and code."""
    rows = await connection.fetch(query("rebuild_promos"), event_ids, timeout=COPY_TIMEOUT_S)
    return {(row["event_id"], row["promo_code"]): row["uses"] for row in rows}


async def sold_seats(
    connection: asyncpg.Connection, event_ids: Sequence[str]
) -> dict[str, list[str]]:
    """Return the seats of live tickets by event."""
    found: dict[str, list[str]] = {event_id: [] for event_id in event_ids}
    for row in await connection.fetch(query("rebuild_seats"), event_ids, timeout=COPY_TIMEOUT_S):
        found[row["event_id"]].append(row["seat_id"])
    return found


async def first_offer_at(connection: asyncpg.Connection, shard: int) -> dt.datetime | None:
    """Return when the oldest offer was made that nobody has answered yet."""
    at: dt.datetime | None = await connection.fetchval(query("rebuild_first_offer"), shard)
    return at


async def journal_since(
    connection: asyncpg.Connection, shard: int, at: dt.datetime
) -> AsyncIterator[audit.BatchRow]:
    """Yield the batches that may have records from *at* on, in order; within a transaction."""
    cursor = connection.cursor(query("rebuild_journal_since"), shard, at, prefetch=8)
    async for row in cursor:
        yield audit.BatchRow(*row)


async def batch_of(
    connection: asyncpg.Connection, shard: int, epoch: int, seq: int
) -> audit.BatchRow | None:
    """Return the batch in which a record stands."""
    row = await connection.fetchrow(query("rebuild_record"), shard, epoch, seq)
    return None if row is None else audit.BatchRow(*row)
