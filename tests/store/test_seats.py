"""The ledger writer and seats: who has one, who had it, and that none is sold twice (F29)."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from engine.ids import new_id
from engine.records import Blocked, Booked, Item, Record, Seats, Unblocked
from store import ledger, quarantine, reigns, seats
from tests.store.records import AT_MS, booked, cancelled, entries

pytestmark = pytest.mark.usefixtures("open_row")


@pytest.fixture
def event() -> str:
    """Draw an event."""
    return new_id("evt")


def seated(event_id: str, *seat_ids: str) -> Booked:
    """Make the record of a booking of seats, and of one general place."""
    record = booked(event_id)
    items = [Item(1, len(seat_ids), 100, seat_ids), Item(2, 1, 50)]
    return Booked(
        version=1,
        at_ms=AT_MS,
        event_id=event_id,
        booking_id=record.booking_id,
        user_id=record.user_id,
        fingerprint="f",
        items=items,
    )


def shift(kind: Any, event_id: str, *seat_ids: str) -> Record:
    """Make the record that blocks or unblocks seats."""
    record: Record = kind(version=1, at_ms=AT_MS, event_id=event_id, seats=[Seats(1, seat_ids)])
    return record


async def write(
    connection: asyncpg.Connection, shard: int, *records: Record, last_seq: int = 0
) -> int:
    """Write *records* as one batch."""
    if last_seq == 0:
        await ledger.read_checkpoint(connection, shard=shard, epoch=1)
    return await ledger.write(
        connection,
        shard=shard,
        epoch=1,
        last_seq=last_seq,
        entries=entries(*records, first_seq=last_seq + 1),
    )


async def tickets(connection: asyncpg.Connection, event_id: str) -> list[tuple[Any, ...]]:
    """Return (number, seat, is_live) of the event's tickets."""
    rows = await connection.fetch(
        "SELECT id, seat_id, is_live FROM tickets WHERE event_id = $1 ORDER BY id", event_id
    )
    return [(int(r["id"].rpartition("_")[2]), r["seat_id"], r["is_live"]) for r in rows]


async def test_tickets_have_seats(connection: asyncpg.Connection, shard: int, event: str) -> None:
    """Each place of a seated line becomes a ticket of its seat; a general one has none."""
    await write(connection, shard, seated(event, "s1-1", "s1-9"))
    assert [(1, "s1-1", True), (2, "s1-9", True), (3, None, True)] == await tickets(
        connection, event
    )


@pytest.mark.parametrize("batches", [1, 2, 3])
async def test_cancelled_seat_is_sold_again(
    connection: asyncpg.Connection, shard: int, event: str, batches: int
) -> None:
    """I3: book, cancel, book the same seat: in one batch or several, one live owner is left."""
    first = seated(event, "s1-1")
    second = seated(event, "s1-1")
    records: list[Record] = [first, cancelled(first), second]
    last_seq = 0
    for part in {1: [records], 2: [records[:1], records[1:]], 3: [[r] for r in records]}[batches]:
        last_seq = await write(connection, shard, *part, last_seq=last_seq)
    rows = await connection.fetch(
        "SELECT booking_id, is_live FROM tickets WHERE event_id = $1 AND seat_id = 's1-1'", event
    )
    assert {(first.booking_id, False), (second.booking_id, True)} == {tuple(r) for r in rows}


@pytest.mark.parametrize("batches", [1, 2])
async def test_f29_doubly_sold_seat_is_a_conflict(
    connection: asyncpg.Connection, shard: int, event: str, batches: int
) -> None:
    """F29: of a seat sold to two live bookings the first has it, the second is a conflict."""
    first, second = seated(event, "s1-1"), seated(event, "s1-2", "s1-1")
    last_seq = 0
    if batches == 2:
        last_seq = await write(connection, shard, first)
    await write(connection, shard, *([first] if batches == 1 else []), second, last_seq=last_seq)
    query = "SELECT DISTINCT booking_id FROM tickets WHERE event_id = $1"
    assert [first.booking_id] == [row[0] for row in await connection.fetch(query, event)]
    (conflict,) = await quarantine.conflicts(connection, shard)
    assert (1, 2) == conflict[1:3]
    assert second.booking_id in conflict.record
    assert "tickets" in conflict.reason
    row = await reigns.read(connection, shard)
    assert row is not None
    assert "frozen" == row.state


async def test_same_seat_of_another_event(
    connection: asyncpg.Connection, shard: int, event: str
) -> None:
    """Seat ids are an event's own."""
    await write(connection, shard, seated(event, "s1-1"), seated(new_id("evt"), "s1-1"))


async def test_blocked_seats(connection: asyncpg.Connection, shard: int, event: str) -> None:
    """The rows of blocked seats follow the last record of each seat, within and across batches."""
    last_seq = await write(
        connection,
        shard,
        shift(Blocked, event, "s1-1", "s1-2", "s1-3"),
        shift(Unblocked, event, "s1-1"),
        shift(Unblocked, event, "s1-2"),
        shift(Blocked, event, "s1-2"),
    )
    query = "SELECT seat_id FROM blocked_seats WHERE event_id = $1 ORDER BY 1"
    assert ["s1-2", "s1-3"] == [row[0] for row in await connection.fetch(query, event)]
    await write(connection, shard, shift(Unblocked, event, "s1-3"), last_seq=last_seq)
    assert ["s1-2"] == [row[0] for row in await connection.fetch(query, event)]


async def test_end_tickets_of_general_places(connection: asyncpg.Connection) -> None:
    """A cancellation without seats touches no ticket: no statement is sent."""
    record = booked(new_id("evt"), (1, 3, 100))
    await seats.end_tickets(connection, [cancelled(record)])
