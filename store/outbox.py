"""
The outbox: what is to be told to people, as rows of the transaction that makes it true (I19).

The ledger writer writes them; the notifier, once it is there, sends what is committed and nothing
else, so that no message speaks of a booking that a fault took back (F44).
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from engine.ids import entry_of_offer
from engine.records import (
    Booked,
    Cancelled,
    Confirmed,
    Expired,
    ItemCancelled,
    Offered,
    Record,
    Transferred,
)
from store.sql import query

COLUMNS = ("kind", "event_id", "user_id", "subject_id", "shard", "epoch", "seq")

_OFFER_PREFIX = "offer_"

#: A row of `outbox`, in the order of `COLUMNS`.
Notice = tuple[str, str, str, str, int, int, int]


def notice_of(shard: int, epoch: int, seq: int, record: Record) -> Notice | None:
    """Return whom *record* concerns, and with what; None if nobody need be told."""
    match record:
        case Booked() | Confirmed():
            told = ("booking.confirmed", record.user_id, record.booking_id)
        case Cancelled():
            kind = "event.cancelled" if record.reason else "booking.cancelled"
            told = (kind, record.user_id, record.booking_id)
        case ItemCancelled():
            told = ("booking.changed", record.user_id, record.booking_id)
        case Transferred():
            told = ("ticket.transferred", record.holder_id, record.ticket_id)
        case Offered():
            told = ("waitlist.offered", record.user_id, record.entry_id)
        case Expired() if record.hold_id.startswith(_OFFER_PREFIX):
            told = ("waitlist.expired", record.user_id, entry_of_offer(record.hold_id))
        case _:
            return None
    kind, user_id, subject_id = told
    return (kind, record.event_id, user_id, subject_id, shard, epoch, seq)


async def write(connection: asyncpg.Connection, notices: Sequence[Notice], *, copies: bool) -> None:
    """Write a batch's notices; with *copies* a row that is there already raises."""
    if not notices:
        return
    if copies:
        await connection.copy_records_to_table("outbox", columns=COLUMNS, records=notices)
        return
    await connection.execute(
        query("insert_outbox"), *(list(column) for column in zip(*notices, strict=True))
    )
