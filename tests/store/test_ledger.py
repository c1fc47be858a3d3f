"""The ledger writer: rows and checkpoint move together, once, in order, or not at all."""

from __future__ import annotations

import asyncio
import datetime as dt

import asyncpg
import pytest

from engine.ids import event_id_range, new_id, ticket_id
from engine.records import Detail, Entry, Record
from store import bookings, ledger, reigns
from store.pool import connect
from tests.conftest import TIMEOUT_MS
from tests.store.databases import content
from tests.store.records import AT_MS, booked, cancelled, entries, published

pytestmark = pytest.mark.usefixtures("open_row")


@pytest.fixture
def event() -> str:
    """Draw an event."""
    return new_id("evt")


async def write(
    connection: asyncpg.Connection, shard: int, *records: Record, last_seq: int = 0
) -> int:
    """Write *records* behind *last_seq*, as the persister does."""
    await ledger.read_checkpoint(connection, shard=shard, epoch=1)
    batch = entries(*records, first_seq=last_seq + 1)
    return await ledger.write(connection, shard=shard, epoch=1, last_seq=last_seq, entries=batch)


async def checkpoint(database: asyncpg.Pool, shard: int) -> int:
    """Return the checkpoint of epoch 1."""
    seq: int = await database.fetchval(
        "SELECT last_seq FROM shard_checkpoint WHERE shard = $1 AND epoch = 1", shard
    )
    return seq


async def test_booking_becomes_rows(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, event: str
) -> None:
    """A booking's row, its lines, its tickets and its record's own text are all there."""
    record = booked(
        event,
        (1, 2, 100),
        (3, 1, 50),
        detail=Detail(special_requests="aisle", metadata={"a": 1, "b": None, "ü": "\u2028"}),
    )
    batch = entries(published(event, 5, 5, 5), record)
    await ledger.read_checkpoint(connection, shard=shard, epoch=1)
    new = await ledger.write(connection, shard=shard, epoch=1, last_seq=0, entries=batch)
    assert 2 == new == await checkpoint(database, shard)
    row = await bookings.by_id(database, record.booking_id)
    assert row is not None
    at = dt.datetime.fromtimestamp(AT_MS / 1000, dt.UTC)
    assert (event, record.user_id, "confirmed", 1, 250, shard, 1, 2, at, None) == row[1:11]
    assert ("aisle", '{"a": 1, "b": null, "ü": "\u2028"}') == row[11:]
    items = await bookings.items_of(database, [row])
    assert [(1, 1, 2, 100, ()), (2, 3, 1, 50, ())] == [item[2:] for item in items[row.id]]
    tickets = await database.fetch(
        "SELECT id, tier_no FROM tickets WHERE booking_id = $1 ORDER BY id", row.id
    )
    expected = [(ticket_id(row.id, number), tier) for number, tier in ((1, 1), (2, 1), (3, 3))]
    assert expected == [tuple(ticket) for ticket in tickets]
    journal = await database.fetch("SELECT * FROM journal WHERE shard = $1", shard)
    assert [(1, 2)] == [(batch["first_seq"], batch["last_seq"]) for batch in journal]
    assert b"\n".join(entry.raw for entry in batch).decode() == journal[0]["records"]


async def test_booked_and_cancelled_within_one_batch(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, event: str
) -> None:
    """Such a booking is written as cancelled at once."""
    record = booked(event)
    await write(connection, shard, record, cancelled(record))
    row = await bookings.by_id(database, record.booking_id)
    assert row is not None
    assert ("cancelled", 2) == (row.status, row.version)
    assert row.cancelled_at == dt.datetime.fromtimestamp((AT_MS + 1) / 1000, dt.UTC)


async def test_cancelled_in_a_later_batch(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, event: str
) -> None:
    """A booking of an earlier batch is ended, and its place may be sold in the same batch."""
    first, second = booked(event), booked(event)
    await write(connection, shard, first)
    assert 3 == await write(connection, shard, cancelled(first), second, last_seq=1)
    found = [await bookings.by_id(database, record.booking_id) for record in (first, second)]
    assert [("cancelled", 2), ("confirmed", 1)] == [
        (row.status, row.version) for row in found if row is not None
    ]


async def test_f26_written_batch_is_not_written_again(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, event: str
) -> None:
    """F26: whoever repeats a batch is told that the checkpoint has moved; nothing changes."""
    record = booked(event)
    await write(connection, shard, record, cancelled(record))
    before = await content(database)
    with pytest.raises(ledger.CheckpointMoved, match="checkpoint is 2, not 0"):
        await write(connection, shard, record, cancelled(record))
    assert before == await content(database)


async def test_f27_stale_writer_cannot_resurrect(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, event: str
) -> None:
    """F27: a batch that was overtaken changes nothing, though its first record is known."""
    record = booked(event)
    await write(connection, shard, record)
    await write(connection, shard, cancelled(record), last_seq=1)
    before = await content(database)
    with pytest.raises(ledger.CheckpointMoved):
        await write(connection, shard, cancelled(record, at_ms=AT_MS + 99), last_seq=1)
    with pytest.raises(ledger.CheckpointMoved):
        await write(connection, shard, record)
    assert before == await content(database)


async def test_f27_two_writers_of_one_batch(
    connection: asyncpg.Connection,
    database: asyncpg.Pool,
    database_url: str,
    shard: int,
    event: str,
) -> None:
    """F27: of two writers at once one writes and one is told; there is one row per booking."""
    records = [booked(event) for _ in range(50)]
    rival = await connect(database_url, timeout_ms=TIMEOUT_MS)
    await ledger.read_checkpoint(connection, shard=shard, epoch=1)
    results = await asyncio.gather(
        write(connection, shard, *records), write(rival, shard, *records), return_exceptions=True
    )
    await rival.close()
    assert ["CheckpointMoved", "int"] == sorted(type(result).__name__ for result in results)
    count = await database.fetchval("SELECT count(*) FROM tickets WHERE event_id = $1", event)
    assert 50 == count


@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_f30_gap_is_refused(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, event: str, lost: int
) -> None:
    """F30: a batch that misses a record, first or later, is refused before anything is written."""
    batch = entries(*(booked(event) for _ in range(4)))
    await ledger.read_checkpoint(connection, shard=shard, epoch=1)
    before = await content(database)
    with pytest.raises(ledger.JournalGap, match=f"record {lost + 1} is missing, next is"):
        await ledger.write(
            connection,
            shard=shard,
            epoch=1,
            last_seq=0,
            entries=[entry for entry in batch if entry.seq != lost + 1],
        )
    assert before == await content(database)


@pytest.mark.parametrize("order", [[1, 1], [2, 1], [1, 3, 2]])
async def test_disorder_is_refused(
    connection: asyncpg.Connection, shard: int, event: str, order: list[int]
) -> None:
    """Records that repeat or run backwards are no continuation either."""
    batch = [
        Entry(seq, entry.record, entry.raw) for seq in order for entry in entries(booked(event))
    ]
    await ledger.read_checkpoint(connection, shard=shard, epoch=1)
    with pytest.raises(ledger.JournalGap):
        await ledger.write(connection, shard=shard, epoch=1, last_seq=0, entries=batch)


@pytest.mark.parametrize(
    "change",
    [
        "state = 'recovering', holder = 'other'",
        "state = 'frozen', epoch = epoch + 1",
        "epoch = epoch + 1",
    ],
)
async def test_epoch_that_is_over(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, event: str, change: str
) -> None:
    """I13: once the shard is claimed or in a later epoch, the persister writes nothing."""
    await ledger.read_checkpoint(connection, shard=shard, epoch=1)
    await database.execute(f"UPDATE shard_epoch SET {change} WHERE shard = $1", shard)  # noqa: S608
    before = await content(database)
    with pytest.raises(ledger.EpochOver):
        await write(connection, shard, booked(event))
    assert before == await content(database)


async def test_recovery_writes_only_under_its_own_claim(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, event: str
) -> None:
    """The coordinator that claims the shard may drain the old epoch; no other may."""
    seen = await reigns.read(database, shard)
    assert 2 == await reigns.claim(database, shard, seen=seen, holder="me", nonce="n")
    await ledger.read_checkpoint(connection, shard=shard, epoch=1)
    batch = entries(booked(event))
    with pytest.raises(ledger.EpochOver):
        await ledger.write(
            connection, shard=shard, epoch=1, last_seq=0, entries=batch, holder="somebody"
        )
    assert 0 == await checkpoint(database, shard)
    await ledger.write(connection, shard=shard, epoch=1, last_seq=0, entries=batch, holder="me")
    assert 1 == await checkpoint(database, shard)


async def test_claim_waits_for_a_batch_under_way(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int
) -> None:
    """I13: the epoch cannot end within a ledger transaction, which holds the row FOR SHARE."""
    seen = await reigns.read(database, shard)
    async with connection.transaction():
        await ledger._hold_reign(connection, shard, 1, None)
        claim = asyncio.create_task(
            reigns.claim(database, shard, seen=seen, holder="me", nonce="n")
        )
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while not (claim.done() or await database.fetchval(waiting)):  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert not claim.done()
    assert 2 == await claim


async def test_refused_journal_takes_its_batch_along(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, event: str
) -> None:
    """What is refused without being any record's fault raises, and nothing is written."""
    await ledger.read_checkpoint(connection, shard=shard, epoch=1)
    before = await content(database)
    await database.execute(
        f"ALTER TABLE journal ADD CONSTRAINT poison CHECK (shard <> {shard}) NOT VALID"
    )
    try:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await write(connection, shard, published(event, 5), booked(event), booked(event))
    finally:
        await database.execute("ALTER TABLE journal DROP CONSTRAINT poison")
    assert before == await content(database)


async def test_f33_epochs_do_not_collide(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, event: str
) -> None:
    """F33: the next epoch counts from 1 again, and both epochs' records are kept."""
    first, second = booked(event), booked(event)
    await write(connection, shard, first)
    await database.execute("UPDATE shard_epoch SET epoch = 2 WHERE shard = $1", shard)
    await ledger.read_checkpoint(connection, shard=shard, epoch=2)
    await ledger.write(connection, shard=shard, epoch=2, last_seq=0, entries=entries(second))
    found = [await bookings.by_id(database, record.booking_id) for record in (first, second)]
    assert [(1, 1), (2, 1)] == [(row.epoch, row.seq) for row in found if row is not None]
    journal = await database.fetch(
        "SELECT epoch, first_seq FROM journal WHERE shard = $1 ORDER BY epoch", shard
    )
    assert [(1, 1), (2, 1)] == [tuple(row) for row in journal]


async def test_booking_is_found_by_its_id_alone(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int
) -> None:
    """The bounds that a booking's id gives enclose its event, in whatever partition it is."""
    records = [booked(new_id("evt", at_ms=at_ms)) for at_ms in (1, AT_MS, 4_000_000_000_000)]
    await write(connection, shard, *records)
    for record in records:
        low, high = event_id_range(record.booking_id)
        assert low <= record.event_id <= high
        row = await bookings.by_id(database, record.booking_id)
        assert row is not None
        assert record.event_id == row.event_id
