"""
What a batch of records makes of the ledger's rows, in three ordered steps.

Part of `store.ledger`'s transaction. New bookings go by COPY, which is fastest and takes no
conflict at all: any row that is there already raises. The ledger then repeats the batch with
INSERTs, whose one conflict target is the booking itself, so that a replay is harmless and every
other conflict still raises (F29).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

import asyncpg

from engine.cuts import tickets_gone
from engine.records import (
    Amended,
    Blocked,
    Booked,
    Cancelled,
    CapacitySet,
    CheckedIn,
    CheckInUndone,
    Closed,
    Confirmed,
    Entry,
    EventCancelled,
    Expired,
    Extended,
    Held,
    ItemCancelled,
    Joined,
    Left,
    Lost,
    Offered,
    Published,
    Released,
    Reopened,
    ScanRefused,
    Stalled,
    Transferred,
    Unblocked,
)
from store import acts, gate, seats, waitlist
from store.sql import columns, moment, query

BOOKING_COLUMNS = (
    "id",
    "event_id",
    "user_id",
    "status",
    "version",
    "total_minor",
    "shard",
    "epoch",
    "seq",
    "created_at",
    "cancelled_at",
    "fingerprint",
    "special_requests",
    "metadata",
    "cuts",
    "cancelled_epoch",
    "cancelled_seq",
)
ITEM_COLUMNS = (
    "event_id",
    "booking_id",
    "line",
    "tier_no",
    "quantity",
    "unit_price_minor",
    "seat_ids",
)
TICKET_COLUMNS = ("event_id", "id", "booking_id", "tier_no", "seat_id", "is_live")

_Rows = list[tuple[Any, ...]]


class BookingTaken(Exception):
    """A booking of this id stands in the ledger, made by another record."""


#: How it is told that a record is wrong, and not the moment.
REFUSALS = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.DataError,
    BookingTaken,
    waitlist.EntryTaken,
)


@dataclass(slots=True)
class _Batch:
    """The records of a batch, by what is to be done with them."""

    booked: dict[str, tuple[int, Booked | Confirmed]] = field(default_factory=dict)
    cancelled: dict[str, tuple[int, Cancelled]] = field(default_factory=dict)
    published: list[Published] = field(default_factory=list)
    blocked: list[Blocked | Unblocked] = field(default_factory=list)
    changes: gate.Changes = field(default_factory=gate.Changes)
    of_waitlist: list[Entry] = field(default_factory=list)


async def write(
    connection: asyncpg.Connection,
    shard: int,
    epoch: int,
    entries: Sequence[Entry],
    *,
    copies: bool,
) -> None:
    """
    Write the rows of a batch, within the caller's transaction.

    Bookings made and cancelled within the batch are written as cancelled at once; then those of
    earlier batches are cancelled, before new ones are inserted, since a place that came back may
    have been sold again within the same batch.

    Args:
        copies: Write new rows by COPY; a row that is there already then raises.

    Raises:
        BookingTaken: see its docstring.
        asyncpg.PostgresError: a constraint refused a row.
    """
    batch = _sort(entries)
    if batch.published:
        await connection.execute(
            query("publish_events"),
            [record.event_id for record in batch.published],
            [moment(record.at_ms) for record in batch.published],
        )
    await gate.change_sales(connection, batch.changes)
    await gate.cut_bookings(connection, batch.changes, batch.booked)
    earlier = [end for key, end in batch.cancelled.items() if key not in batch.booked]
    if earlier:
        ends = [(end.event_id, end.booking_id, moment(end.at_ms), seq) for seq, end in earlier]
        await connection.execute(query("cancel_bookings"), epoch, *columns(ends))
        await seats.end_tickets(connection, [record for _, record in earlier])
    if batch.blocked:
        await seats.write_blocked(connection, batch.blocked)
    if batch.booked:
        insert = _copy_bookings if copies else _insert_bookings
        await insert(connection, *_booking_rows(shard, epoch, batch))
    if batch.of_waitlist:
        await waitlist.write(connection, shard, epoch, batch.of_waitlist)
    await gate.change_tickets(connection, epoch, batch.changes)
    if batch.changes.of_tickets:
        await acts.add_scans(connection, shard, epoch, batch.changes.of_tickets)


def _sort(entries: Sequence[Entry]) -> _Batch:
    batch = _Batch()
    for entry in entries:
        record = entry.record
        match record:
            case Booked():
                batch.booked[record.booking_id] = (entry.seq, record)
            case Confirmed():
                batch.booked[record.booking_id] = (entry.seq, record)
                batch.of_waitlist.append(entry)
            case Cancelled():
                batch.cancelled[record.booking_id] = (entry.seq, record)
            case Published():
                batch.published.append(record)
            case Blocked() | Unblocked():
                batch.blocked.append(record)
            case (
                ItemCancelled()
                | CheckedIn()
                | ScanRefused()
                | CheckInUndone()
                | Transferred()
                | CapacitySet()
                | Closed()
                | Reopened()
                | Amended()
                | EventCancelled()
            ):
                batch.changes.add(entry.seq, record)
            case Held() | Extended() | Lost():
                pass  # Holds live in Redis alone; the journal's own row keeps their story.
            case Joined() | Stalled() | Offered() | Left() | Released() | Expired():
                batch.of_waitlist.append(entry)
            case _:
                assert_never(record)
    return batch


def _booking_rows(shard: int, epoch: int, batch: _Batch) -> tuple[_Rows, _Rows, _Rows]:
    """Return the rows of new bookings, of their lines, and of their tickets."""
    bookings: _Rows = []
    items: _Rows = []
    tickets: _Rows = []
    moments: dict[int, dt.datetime] = {}  # One script call gives all its records the same.
    for booking_id, (seq, record) in batch.booked.items():
        end_seq, end = batch.cancelled.get(booking_id, (None, None))
        cut = batch.changes.cuts.get(booking_id)
        event_id, detail, lines = record.event_id, record.detail, record.items
        left = cut.left if cut else lines
        at = moments.get(record.at_ms)
        if at is None:
            at = moments[record.at_ms] = moment(record.at_ms)
        total_minor = 0
        for item in left:
            total_minor += item.quantity * item.unit_price_minor
        bookings.append(
            (
                booking_id,
                event_id,
                record.user_id,
                "cancelled" if end else "confirmed",
                (cut.booking_version if cut else 1) + (1 if end else 0),
                total_minor,
                shard,
                epoch,
                seq,
                at,
                moment(end.at_ms) if end else None,
                record.fingerprint,
                detail.special_requests or None,
                json.dumps(detail.metadata, ensure_ascii=False) if detail.metadata else None,
                cut.cuts if cut else None,
                epoch if end else None,
                end_seq,
            )
        )
        number = 0
        kept = {item.tier_no: item for item in left} if cut else None
        gone = tickets_gone(cut.cuts) if cut else ()
        ticket_prefix = f"tkt_{booking_id[3:]}_"  # `engine.ids.ticket_id`, once per booking.
        for line, item in enumerate(lines, start=1):
            tier_no, quantity = item.tier_no, item.quantity
            has = item if kept is None else kept.get(tier_no)
            if has is not None:
                items.append(
                    (
                        event_id,
                        booking_id,
                        line,
                        tier_no,
                        has.quantity,
                        item.unit_price_minor,
                        "+".join(has.seat_ids),
                    )
                )
            for seat in item.seat_ids or (None,) * quantity:
                number += 1
                tickets.append(
                    (
                        event_id,
                        f"{ticket_prefix}{number}",
                        booking_id,
                        tier_no,
                        seat,
                        seat is None or (end is None and number not in gone),
                    )
                )
    return bookings, items, tickets


async def _copy_bookings(
    connection: asyncpg.Connection, bookings: _Rows, items: _Rows, tickets: _Rows
) -> None:
    await connection.copy_records_to_table("bookings", columns=BOOKING_COLUMNS, records=bookings)
    await connection.copy_records_to_table("items", columns=ITEM_COLUMNS, records=items)
    await connection.copy_records_to_table("tickets", columns=TICKET_COLUMNS, records=tickets)


async def _insert_bookings(
    connection: asyncpg.Connection, bookings: _Rows, items: _Rows, tickets: _Rows
) -> None:
    by_name = columns(bookings)
    shard, epoch = bookings[0][6:8]
    made = await connection.fetch(
        query("insert_bookings"), shard, epoch, *by_name[:6], *by_name[8:15], by_name[16]
    )
    if len(made) < len(bookings):
        taken = await connection.fetch(
            query("foreign_bookings"), shard, epoch, by_name[1], by_name[0], by_name[8]
        )
        if taken:
            raise BookingTaken(f"booking {taken[0]['id']} was made by another record")
    if items:
        await connection.execute(query("insert_items"), *columns(items))
    await connection.execute(query("insert_tickets"), *columns(tickets))
