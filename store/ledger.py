"""
The ledger writer: journal records become rows, in order, exactly once.

Persister and recovery share it. One transaction holds the rows, the journal's own text, and the
moved checkpoint, so that where to read on is decided by what was written (I4, I7). Safety rests
on the checkpoint's compare-and-set and on the shard's epoch row, held FOR SHARE until commit: a
writer that was overtaken changes nothing (F25, F26, F27, I13).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import assert_never

import asyncpg

from engine.ids import ticket_id
from engine.records import (
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
    Stalled,
    Transferred,
    Unblocked,
)
from store import gate, seats, waitlist
from store.sql import query


class LedgerError(Exception):
    """The ledger did not take the batch; nothing was written."""


class EpochOver(LedgerError):
    """The shard is no longer open under this epoch, or not claimed by this holder."""


class CheckpointMoved(LedgerError):
    """Another writer has moved the checkpoint; read it again."""


class JournalGap(LedgerError):
    """The records do not continue the checkpoint one by one: some are lost (F30, F32)."""


async def read_checkpoint(connection: asyncpg.Connection, *, shard: int, epoch: int) -> int:
    """Return the last record that PostgreSQL has, making the checkpoint at 0 if there is none."""
    await connection.execute(query("ensure_checkpoint"), shard, epoch)
    last_seq: int = await connection.fetchval(query("read_checkpoint"), shard, epoch)
    return last_seq


async def write(
    connection: asyncpg.Connection,
    *,
    shard: int,
    epoch: int,
    last_seq: int,
    entries: Sequence[Entry],
    holder: str | None = None,
) -> int:
    """
    Write one batch of records and move the checkpoint behind it.

    Atomicity: one transaction.
    Idempotency: a batch that is already written raises `CheckpointMoved` and changes nothing.
    Cost: about ten round trips, whatever the size of the batch.

    Args:
        connection: A connection of one's own; not in a transaction.

        shard: Number of the shard.

        epoch: Epoch whose journal the entries come from.

        last_seq: The checkpoint that the entries continue.

        entries: At least one; seqs `last_seq + 1`, `last_seq + 2`, ...

        holder: Name of the recovery that claims the shard; None for the persister, which may
            write only while the shard is open under *epoch*.

    Returns:
        The new checkpoint.

    Raises:
        EpochOver, CheckpointMoved, JournalGap: see their docstrings.
        asyncpg.PostgresError: a constraint refused a row; nothing was written.
    """
    for expected, entry in enumerate(entries, start=last_seq + 1):
        if entry.seq != expected:
            raise JournalGap(f"shard {shard} epoch {epoch}: record {expected} is missing, "
                             f"next is {entry.seq}")  # fmt: skip
    new_seq = entries[-1].seq
    async with connection.transaction():
        await _hold_reign(connection, shard, epoch, holder)
        stored = await connection.fetchval(query("lock_checkpoint"), shard, epoch)
        if stored != last_seq:
            raise CheckpointMoved(f"checkpoint is {stored}, not {last_seq}")
        await _write_rows(connection, shard, epoch, entries)
        moved = await connection.execute(query("move_checkpoint"), shard, epoch, last_seq, new_seq)
        if moved != "UPDATE 1":
            raise CheckpointMoved(f"checkpoint left {last_seq} during the batch")
    return new_seq


async def _hold_reign(
    connection: asyncpg.Connection, shard: int, epoch: int, holder: str | None
) -> None:
    row = await connection.fetchrow(query("share_reign"), shard)
    if holder is None:
        allowed = row is not None and row["state"] == "open" and row["epoch"] == epoch
    else:
        allowed = row is not None and row["state"] == "recovering" and row["holder"] == holder
    if not allowed:
        raise EpochOver(f"shard {shard} epoch {epoch}: row is {dict(row) if row else None}")


async def _write_rows(
    connection: asyncpg.Connection, shard: int, epoch: int, entries: Sequence[Entry]
) -> None:
    """
    Write the rows of a batch in three ordered steps.

    Bookings made and cancelled within the batch are written as cancelled at once; then those of
    earlier batches are cancelled, before new ones are inserted, since a place that came back may
    have been sold again within the same batch.
    """
    booked: dict[str, tuple[int, Booked | Confirmed]] = {}
    cancelled: dict[str, tuple[int, Cancelled]] = {}
    published: list[Published] = []
    blocked: list[Blocked | Unblocked] = []
    changes = gate.Changes()
    for entry in entries:
        record = entry.record
        match record:
            case Booked() | Confirmed():
                booked[record.booking_id] = (entry.seq, record)
            case Cancelled():
                cancelled[record.booking_id] = (entry.seq, record)
            case Published():
                published.append(record)
            case Blocked() | Unblocked():
                blocked.append(record)
            case (
                ItemCancelled() | CheckedIn() | CheckInUndone() | Transferred()
                | CapacitySet() | Closed() | Reopened() | EventCancelled()
            ):  # fmt: skip
                changes.add(entry.seq, record)
            case Held() | Extended() | Released() | Expired() | Lost():
                pass  # Holds live in Redis alone; the journal's own row keeps their story.
            case Joined() | Stalled() | Offered() | Left():
                pass  # `store.waitlist` writes them, and how their offers ended.
            case _:
                assert_never(record)
    first = entries[0]
    await connection.execute(
        query("insert_journal"),
        shard,
        epoch,
        first.seq,
        entries[-1].seq,
        _at(first.record.at_ms),
        b"\n".join(entry.raw for entry in entries).decode(),
    )
    if published:
        await connection.execute(
            query("publish_events"),
            [record.event_id for record in published],
            [_at(record.at_ms) for record in published],
        )
    await gate.change_sales(connection, changes)
    await gate.cut_bookings(connection, changes, booked)
    earlier = [end for key, end in cancelled.items() if key not in booked]
    if earlier:
        rows = [(end.event_id, end.booking_id, _at(end.at_ms), seq) for seq, end in earlier]
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(query("cancel_bookings"), epoch, *columns)
        await seats.end_tickets(connection, [record for _, record in earlier])
    if blocked:
        await seats.write_blocked(connection, blocked)
    if booked:
        await _insert_bookings(connection, shard, epoch, booked, cancelled, changes.cuts)
    await waitlist.write(connection, shard, epoch, entries)
    await gate.change_tickets(connection, epoch, changes)


async def _insert_bookings(
    connection: asyncpg.Connection,
    shard: int,
    epoch: int,
    booked: dict[str, tuple[int, Booked | Confirmed]],
    cancelled: dict[str, tuple[int, Cancelled]],
    cuts: dict[str, ItemCancelled],
) -> None:
    rows = []
    items = []
    tickets = []
    for booking_id, (seq, record) in booked.items():
        end_seq, end = cancelled.get(booking_id, (None, None))
        detail, cut = record.detail, cuts.get(booking_id)
        left = cut.left if cut else record.items
        rows.append((
            booking_id,
            record.event_id,
            record.user_id,
            "cancelled" if end else "confirmed",
            (cut.booking_version if cut else 1) + (1 if end else 0),
            sum(item.quantity * item.unit_price_minor for item in left),
            seq,
            _at(record.at_ms),
            _at(end.at_ms) if end else None,
            record.fingerprint,
            detail.special_requests or None,
            json.dumps(detail.metadata, ensure_ascii=False) if detail.metadata else None,
            cut.cuts if cut else None,
            end_seq,
        ))  # fmt: skip
        number = 0
        kept = {item.tier_no: item.quantity for item in left}
        for line, item in enumerate(record.items, start=1):
            if item.tier_no in kept:
                items.append((record.event_id, booking_id, line, item.tier_no,
                              kept[item.tier_no], item.unit_price_minor,
                              "+".join(item.seat_ids)))  # fmt: skip
            for seat in item.seat_ids or (None,) * item.quantity:
                number += 1
                tickets.append((record.event_id, ticket_id(booking_id, number), booking_id,
                                item.tier_no, seat, end is None or seat is None))  # fmt: skip
    await connection.execute(
        query("insert_bookings"),
        shard,
        epoch,
        *(list(column) for column in zip(*rows, strict=True)),
    )
    await connection.execute(
        query("insert_items"), *(list(column) for column in zip(*items, strict=True))
    )
    await connection.execute(
        query("insert_tickets"), *(list(column) for column in zip(*tickets, strict=True))
    )


def _at(at_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)
