"""
Waitlist entries as the ledger has them: what the records of a batch make of them, and reads.

Written within the ledger writer's transaction (`store.ledger`), read by the API and the
reconciler. An entry's offer is a hold of the same id but for its prefix, so that the records of
that hold tell how the entry ended.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import NamedTuple

import asyncpg

from engine.ids import entry_of_offer
from engine.records import (
    Confirmed,
    Entry,
    Expired,
    Joined,
    Left,
    Offered,
    Record,
    Released,
    Stalled,
)
from store.sql import Executor, columns, moment, query

OFFER_PREFIX = "offer_"
#: How far back returned places are counted for an estimate.
FLOW_PERIOD = dt.timedelta(hours=1)
#: Offers below which no estimate is made.
FLOW_OFFERS_MIN = 3
#: Shortest time that a rate is taken over, in seconds.
FLOW_SECONDS_MIN = 60.0

_ENDS: dict[type[Record], str] = {Confirmed: "accepted", Released: "declined", Expired: "expired"}


class EntryTaken(Exception):
    """An entry of this id stands in the ledger, made by another record."""


class Change(NamedTuple):
    """What one record says of an entry: None is what it does not say."""

    entry_id: str
    status: str | None
    version: int | None


class EntryRow(NamedTuple):
    """An entry; the fields after `id` are those of the row that Redis keeps, in its order."""

    event_id: str
    id: str
    status: str
    version: int
    epoch: int
    seq: int
    at_ms: int
    user_id: str
    fingerprint: str
    tier_no: int
    quantity: int
    join_no: str
    stalled_at_ms: int
    changed_epoch: int
    changed_seq: int
    changed_at_ms: int
    #: When places were offered to it; None: never.
    offered_at_ms: int | None = None


class Listed(NamedTuple):
    """An entry of a user's list, as the ledger has it."""

    event_id: str
    id: str
    status: str
    tier_no: int
    quantity: int
    seq: int
    joined_at: dt.datetime


def change_of(record: Record) -> Change | None:
    """Return what *record* says of a waitlist entry, or None if it is about none."""
    match record:
        case Joined():
            return Change(record.entry_id, "waiting", 1)
        case Stalled():
            return Change(record.entry_id, None, None)
        case Offered():
            return Change(record.entry_id, "offered", 2)
        case Left():
            is_said = record.version > 1 and record.why != "owner"
            return Change(record.entry_id, record.why if is_said else "left", 2)
        case Released() if record.reason and record.hold_id.startswith(OFFER_PREFIX):
            return Change(entry_of_offer(record.hold_id), record.reason, 3)
        case Confirmed() | Released() | Expired():
            if record.hold_id.startswith(OFFER_PREFIX):
                return Change(entry_of_offer(record.hold_id), _ENDS[type(record)], 3)
    return None


class _State:
    """An entry at the end of a batch, as far as the batch tells."""

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        self.joined: tuple[int, Joined] | None = None
        self.status: str | None = None
        self.version: int | None = None
        self.stalled_at: dt.datetime | None = None
        self.offered_at: dt.datetime | None = None
        self.seq = 0
        self.at = dt.datetime.min.replace(tzinfo=dt.UTC)

    def follow(self, seq: int, record: Record, change: Change) -> None:
        at = moment(record.at_ms)
        if isinstance(record, Joined):
            self.joined = (seq, record)
        elif isinstance(record, Stalled):
            self.stalled_at = at
        elif isinstance(record, Offered):
            self.offered_at = at
        self.status, self.version = change.status or self.status, change.version or self.version
        self.seq, self.at = seq, at


async def write(
    connection: asyncpg.Connection, shard: int, epoch: int, entries: Iterable[Entry]
) -> None:
    """
    Write what a batch of records made of waitlist entries; two statements, if none was there.

    Raises:
        EntryTaken: see its docstring.
    """
    states: dict[str, _State] = {}
    for entry in entries:
        change = change_of(entry.record)
        if change is not None:
            state = states.setdefault(change.entry_id, _State(entry.record.event_id))
            state.follow(entry.seq, entry.record, change)
    # Entries that end come before new ones of the same person (`waitlist_live`).
    known = [
        (
            state.event_id,
            key,
            state.status,
            state.version,
            state.stalled_at,
            state.offered_at,
            state.seq,
            state.at,
        )
        for key, state in states.items()
        if state.joined is None
    ]
    if known:
        await connection.execute(query("change_waitlist_entries"), epoch, *columns(known))
    new = [
        (
            state.event_id,
            key,
            record.user_id,
            record.tier_no,
            record.quantity,
            record.join_no,
            state.status,
            state.version,
            record.fingerprint,
            seq,
            moment(record.at_ms),
            state.stalled_at,
            state.offered_at,
            state.seq,
            state.at,
        )
        for key, state in states.items()
        if state.joined is not None
        for seq, record in [state.joined]
    ]
    if new:
        by_name = columns(new)
        made = await connection.fetch(query("insert_waitlist_entries"), shard, epoch, *by_name)
        if len(made) < len(new):
            places = (by_name[0], by_name[1], by_name[9])
            taken = await connection.fetch(query("foreign_entries"), epoch, *places)
            if taken:
                raise EntryTaken(f"entry {taken[0]['id']} was made by another record")


async def of_user(
    database: Executor, user_id: str, *, before: tuple[dt.datetime, str], limit: int
) -> list[Listed]:
    """Return a page of a user's entries, newest first, continuing before (joined_at, id)."""
    rows = await database.fetch(query("waitlist_of_user"), user_id, *before, limit)
    return [Listed(**row) for row in rows]


async def places_per_s(database: Executor, event_id: str, tier_no: int) -> float | None:
    """Return how many places a second the tier's list was offered lately; None if too few."""
    row = await database.fetchrow(query("waitlist_flow"), event_id, tier_no, FLOW_PERIOD)
    if row is None or row["offers"] < FLOW_OFFERS_MIN:
        return None
    return float(row["places"]) / max(float(row["seconds"]), FLOW_SECONDS_MIN)


async def audit(
    connection: asyncpg.Connection, event_ids: Sequence[str]
) -> AsyncIterator[EntryRow]:
    """Yield all entries of some events, in no order; within a transaction of `store.audit`."""
    async for row in connection.cursor(query("audit_waitlist"), event_ids, prefetch=2_000):
        yield EntryRow(**row)


async def audit_shard(
    connection: asyncpg.Connection, shard: int, event_ids: Sequence[str] | None = None
) -> AsyncIterator[EntryRow]:
    """Yield the entries of a shard, or of some of its events, as `audit` does."""
    cursor = connection.cursor(query("audit_shard_waitlist"), shard, event_ids, prefetch=2_000)
    async for row in cursor:
        yield EntryRow(**row)


async def rewrite(
    connection: asyncpg.Connection,
    shard: int,
    event_id: str,
    entry_ids: Sequence[str],
    entries: Mapping[int, Sequence[Entry]],
) -> None:
    """Write some entries of an event again, from all their records by epoch; in a transaction."""
    await connection.execute(query("drop_waitlist_of"), event_id, entry_ids)
    for epoch in sorted(entries):
        await write(connection, shard, epoch, entries[epoch])
