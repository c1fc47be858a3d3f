"""
Records that could not become rows: parked with their bytes, listed, and resolved by a human.

Guarantees that none is skipped in silence: the ledger's transaction that passes one writes it here
and stops the shard's sales; the journal's archive has a mark in its place, so that its seqs stay
without gap (I7). A conflict, two truths about one place, goes to `conflicts`; anything else to
`quarantine`, from where a mended record can be written in its place.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import asyncpg

from engine.records import (
    Blocked,
    Booked,
    Cancelled,
    Confirmed,
    Entry,
    ItemCancelled,
    Published,
    Record,
    SaleChange,
    TicketChange,
    Unblocked,
    decode,
)
from store import audit, outbox, rows
from store.private import scrubbed
from store.sql import Executor, query
from store.waitlist import change_of

#: Stand in the journal's archive for a parked record; no record begins like this.
QUARANTINED = "!quarantined"
CONFLICT = "!conflict"
MARKS = frozenset({QUARANTINED, CONFLICT})

REASON_CHARS_MAX = 1_000
#: Rows that are listed at most.
ROWS_MAX = 10_000


class CannotResolve(Exception):
    """The record stays as it is; the message says why."""


class Parked(NamedTuple):
    """One record that cannot be written."""

    seq: int
    raw: bytes
    reason: str
    is_conflict: bool = False

    @property
    def mark(self) -> bytes:
        """What the journal's archive has in its place."""
        return (CONFLICT if self.is_conflict else QUARANTINED).encode()


class QuarantineRow(NamedTuple):
    """A record in quarantine; `state` is held, replayed or discarded."""

    shard: int
    epoch: int
    seq: int
    record: bytes
    reason: str
    state: str
    found_at: dt.datetime
    changed_at: dt.datetime
    changed_by: str
    note: str


class Conflict(NamedTuple):
    """A record whose place another one has."""

    shard: int
    epoch: int
    seq: int
    record: str
    reason: str
    found_at: dt.datetime


async def park(
    connection: asyncpg.Connection, shard: int, epoch: int, parked: Sequence[Parked]
) -> None:
    """Keep records that cannot be written, within the transaction that passes them."""
    held = [one for one in parked if not one.is_conflict]
    if held:
        await connection.execute(
            query("insert_quarantine"),
            shard,
            epoch,
            [one.seq for one in held],
            [one.raw for one in held],
            [said(one.reason) for one in held],
        )
    rivals = [one for one in parked if one.is_conflict]
    if rivals:
        await connection.execute(
            query("insert_conflicts"),
            shard,
            [epoch] * len(rivals),
            [one.seq for one in rivals],
            [clean(one.raw.decode(errors="replace"), len(one.raw)) for one in rivals],
            [said(one.reason) for one in rivals],
        )


async def rows_of(
    database: Executor, shard: int | None, *, resolved: bool = False
) -> list[QuarantineRow]:
    """Return what is in quarantine, of one shard or of all; with *resolved* also what was."""
    found = await database.fetch(query("list_quarantine"), shard, resolved, ROWS_MAX)
    return [QuarantineRow(**row) for row in found]


async def conflicts(database: Executor, shard: int | None) -> list[Conflict]:
    """Return the conflicts of one shard or of all."""
    found = await database.fetch(query("list_conflicts"), shard, ROWS_MAX)
    return [Conflict(**row) for row in found]


async def held(database: Executor, shard: int) -> int:
    """Return how many records of a shard wait for a human."""
    count: int = await database.fetchval(query("count_held"), shard)
    return count


def clean(text: str, chars_max: int = REASON_CHARS_MAX) -> str:
    """Return *text* as PostgreSQL can keep it."""
    return text[:chars_max].replace("\0", "\N{REPLACEMENT CHARACTER}")


def said(reason: str) -> str:
    """Return a reason as it is kept for operators: without what it quotes of people."""
    return clean(scrubbed(reason))


async def replay(
    connection: asyncpg.Connection,
    *,
    place: tuple[int, int, int],
    raw: bytes,
    by: str,
    why: str,
    applies: bool,
) -> list[tuple[int, int]]:
    """
    Write a mended record in the place of one in quarantine.

    What later records said of the same booking, waitlist entry, or sale is then written again,
    since they found nothing to change. Its mark in the journal's archive becomes the record.

    Atomicity: one transaction.
    Idempotency: a record that is no longer held is refused.
    Cost: reads the shard's archive from that place on.

    Args:
        place: Shard, epoch and seq.

        raw: The mended record with its check (`engine.records.seal`).

        by: Who answers for it.

        applies: Keep it; otherwise all is tried, and taken back.

    Returns:
        Places (epoch, seq) of the records that are written again.

    Raises:
        CannotResolve: see its docstring.
        CorruptRecord: the mended record is none.
    """
    shard, epoch, seq = place
    record = decode(raw)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await _lock_held(connection, place)
        batch = await connection.fetchrow(query("lock_batch"), shard, epoch, seq)
        lines = batch["records"].split("\n") if batch else []
        at = seq - batch["first_seq"] if batch else 0
        if at >= len(lines) or lines[at] != QUARANTINED:
            raise CannotResolve("the journal's archive has no mark of this record in its place")
        assert batch is not None
        later = await _later(connection, place, batch["first_seq"], record)
        told = [(epoch, Entry(seq, record, raw)), *later]
        for its_epoch, group in groupby(told, key=lambda one: one[0]):
            await rows.write(connection, shard, its_epoch, [one for _, one in group], copies=False)
        await outbox.put(connection, shard, epoch, told[0][1])
        lines[at] = raw.decode()
        await connection.execute(
            query("rewrite_batch"),
            shard,
            epoch,
            batch["first_seq"],
            batch["first_at"],
            "\n".join(lines),
        )
        await connection.execute(query("resolve_quarantine"), *place, "replayed", by, why)
    except rows.REFUSALS as error:
        await transaction.rollback()
        raise CannotResolve(f"PostgreSQL refuses the record: {error}") from error
    except BaseException:
        await transaction.rollback()
        raise
    await (transaction.commit() if applies else transaction.rollback())
    return [(its_epoch, entry.seq) for its_epoch, entry in later]


async def discard(
    connection: asyncpg.Connection, *, place: tuple[int, int, int], by: str, why: str, applies: bool
) -> None:
    """
    Give a record up for good; its mark stays, and its row with who and why.

    Raises:
        CannotResolve: see its docstring.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        await _lock_held(connection, place)
        await connection.execute(query("resolve_quarantine"), *place, "discarded", by, why)
    except BaseException:
        await transaction.rollback()
        raise
    await (transaction.commit() if applies else transaction.rollback())


async def _lock_held(connection: asyncpg.Connection, place: tuple[int, int, int]) -> None:
    """Hold the shard, its checkpoint and the record still; all must allow a change."""
    shard, epoch, _ = place
    # In the order of the ledger writer, so that neither waits for the other in a circle.
    await connection.fetchrow(query("lock_checkpoint"), shard, epoch)
    reign = await connection.fetchrow(query("lock_reign"), shard)
    row = await connection.fetchrow(query("lock_quarantine"), *place)
    if row is None:
        raise CannotResolve("no such record is in quarantine")
    if row["state"] != "held":
        raise CannotResolve(f"the record was {row['state']} by {row['changed_by']}")
    if reign is None or reign["state"] != "frozen":
        raise CannotResolve("the shard is not frozen: nothing is mended while it may be sold")


async def _later(
    connection: asyncpg.Connection, place: tuple[int, int, int], first_seq: int, record: Record
) -> list[tuple[int, Entry]]:
    """Return, with their epochs, the later records that speak of what *record* speaks of."""
    shard, epoch, seq = place
    subjects = _subjects(record)
    found: list[tuple[int, Entry]] = []
    async for batch in audit.journal(connection, shard, after=(epoch, first_seq - 1)):
        for its_seq, line in enumerate(batch.records.split("\n"), start=batch.first_seq):
            is_later = (batch.epoch, its_seq) > (epoch, seq)
            if is_later and line not in MARKS and record.event_id in line:
                other = decode(line.encode())
                if subjects & _subjects(other):
                    found.append((batch.epoch, Entry(its_seq, other, line.encode())))
    return found


def _subjects(record: Record) -> set[str]:
    """Return the things that *record* changes."""
    subjects: set[str] = set()
    if isinstance(record, Booked | Confirmed | Cancelled | ItemCancelled | TicketChange):
        subjects.add(record.booking_id)
    elif isinstance(record, Published | SaleChange):
        subjects.add(f"sale of {record.event_id}")
    elif isinstance(record, Blocked | Unblocked):
        subjects.add(f"blocked seats of {record.event_id}")
    change = change_of(record)
    if change is not None:
        subjects.add(change.entry_id)
    return subjects
