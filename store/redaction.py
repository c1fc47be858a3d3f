"""
Redaction: what people wrote beside their orders is taken out of the ledger's texts.

A record keeps all that a rule rests on; its `detail` becomes empty, in the archive, in what waits
for recovery and for people, and in the booking's row, each with the other in one transaction, so
that the check finds ledger and archive of one mind. Only what is so old that Redis and workers have
forgotten it is touched: nothing that is compared to it is left anywhere.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

import asyncpg

from engine.records import CHECK_CHARS, examine, seal
from store.sql import query

BATCHES_PER_READ = 50
ROWS_PER_READ = 500
#: Begins what somebody wrote, in a record as scripts and code write it.
MARK = '"detail":{"'

_START = (-1, -1, -1, dt.datetime(1970, 1, 1, tzinfo=dt.UTC))
#: Kinds of records that say what a booking's row says.
_OF_BOOKINGS = {"booked", "confirmed"}

#: Says of a record, decoded, whether what was written is to go.
IsGone = Callable[[dict[str, Any]], bool]


def of(persons: Collection[str], events: Collection[str]) -> IsGone:
    """Return what takes the words of some persons, and all words of some events."""
    return lambda record: record.get("user_id") in persons or record.get("event_id") in events


async def redact_archive(
    connection: asyncpg.Connection, is_gone: IsGone, *, older_than: dt.datetime, applies: bool
) -> AsyncIterator[int]:
    """
    Go through the archive, and take out what is to go; yield how many records each batch lost.

    Atomicity: a transaction for each batch, with its bookings' rows.
    Idempotency: what is gone is not found again, so it may be cut off anywhere and begun anew.

    Args:
        older_than: Batches that began later are left alone.
        applies: Do it; otherwise only count.
    """
    place: tuple[Any, ...] = _START
    while True:
        rows = await connection.fetch(
            query("batches_with_details"), older_than, *place, BATCHES_PER_READ
        )
        for row in rows:
            yield await _redact_batch(connection, tuple(row.values()), is_gone, applies=applies)
        if len(rows) < BATCHES_PER_READ:
            return
        place = tuple(rows[-1].values())


async def _redact_batch(
    connection: asyncpg.Connection, place: tuple[Any, ...], is_gone: IsGone, *, applies: bool
) -> int:
    async with connection.transaction():
        records = await connection.fetchval(query("lock_batch_at"), *place)
        lines = records.split("\n") if records else []
        bookings: list[tuple[str, str]] = []
        count = 0
        for number, line in enumerate(lines):
            redacted = redact(line, is_gone)
            if redacted is None:
                continue
            lines[number], record = redacted
            count += 1
            if record["kind"] in _OF_BOOKINGS:
                bookings.append((record["event_id"], record["booking_id"]))
        if count and applies:
            await connection.execute(query("blank_batch"), *place, "\n".join(lines))
            await connection.execute(
                query("blank_bookings"), [one for one, _ in bookings], [own for _, own in bookings]
            )
    return count


def redact(line: str, is_gone: IsGone) -> tuple[str, dict[str, Any]] | None:
    """Return a record without what was written, sealed anew; None if it has nothing to go."""
    if MARK not in line or isinstance(examine(line.encode()), str):
        return None  # Nothing was written; or it is what people must look at.
    # Not as one of our types, which leave out what newer code has added.
    record: dict[str, Any] = json.loads(line[CHECK_CHARS:])
    if not record.get("detail") or not is_gone(record):
        return None
    record["detail"] = {}
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return seal(text.encode()).decode(), record


async def redact_others(
    connection: asyncpg.Connection, is_gone: IsGone, *, older_than: dt.datetime, applies: bool
) -> int:
    """Do the same to what waits for recovery and to conflicts; return how many records."""
    count = 0
    rows = await connection.fetch(query("redo_with_details"), older_than, ROWS_PER_READ * 100)
    for row in rows:
        redacted = redact(row["record"], is_gone)
        if redacted is not None:
            count += 1
            if applies:
                await connection.execute(query("blank_redo"), *tuple(row)[:4], redacted[0])
    last_id = 0
    while True:
        rows = await connection.fetch(
            query("conflicts_with_details"), older_than, last_id, ROWS_PER_READ
        )
        for row in rows:
            redacted = redact(row["record"], is_gone)
            if redacted is not None:
                count += 1
                if applies:
                    await connection.execute(query("blank_conflict"), row["id"], redacted[0])
        if len(rows) < ROWS_PER_READ:
            return count
        last_id = rows[-1]["id"]


async def blank_quarantine(
    connection: asyncpg.Connection, *, older_than: dt.datetime, applies: bool
) -> int:
    """
    Empty records in quarantine that no longer wait: those of erased persons, and old ones.

    Returns:
        How many, at most `ROWS_PER_READ` a call; call again until it is 0.
    """
    rows = await connection.fetch(query("quarantined_of"), older_than, ROWS_PER_READ)
    if rows and applies:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(query("blank_quarantine"), *columns)
    return len(rows)


async def open_erasures(database: asyncpg.Connection) -> dict[str, dt.datetime]:
    """Return whose words are still to be taken, and since when."""
    rows = await database.fetch(query("open_erasures"))
    return {row["user_id"]: row["asked_at"] for row in rows}


async def end_erasures(
    connection: asyncpg.Connection, persons: Collection[str], *, asked_before: dt.datetime
) -> int:
    """Note that nothing is left of these persons' words; of those that asked that long ago."""
    rows = await connection.fetch(query("end_erasures"), asked_before, list(persons))
    return len(rows)
