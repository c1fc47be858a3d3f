"""Parked records: found among thousands, kept with their bytes, mended or given up by a human."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import msgspec
import pytest

from engine.errors import CorruptRecord
from engine.ids import new_id
from engine.records import Booked, Damaged, Entry, Record, seal
from store import bookings, ledger, outbox, quarantine, reigns
from store.quarantine import CannotResolve
from tests.store.databases import content
from tests.store.records import booked, cancelled, entries, entry, published

pytestmark = pytest.mark.usefixtures("open_row")

#: A user whom the test's constraint does not like.
POISON = "usr_poison"


@pytest.fixture
def event() -> str:
    """Draw an event."""
    return new_id("evt")


@pytest.fixture
async def poisoned(database: asyncpg.Pool) -> AsyncIterator[None]:
    """Let PostgreSQL refuse bookings of one user."""
    await database.execute(
        f"ALTER TABLE bookings ADD CONSTRAINT poison CHECK (user_id <> '{POISON}') NOT VALID"
    )
    yield
    await database.execute("ALTER TABLE bookings DROP CONSTRAINT IF EXISTS poison")


async def write(
    connection: asyncpg.Connection, shard: int, batch: list[Entry | Damaged]
) -> ledger.Written:
    """Write a batch behind what is there."""
    place = await ledger.read_place(connection, shard=shard, epoch=1)
    return await ledger.write_batch(
        connection, shard=shard, epoch=1, last_seq=place.last_seq, entries=batch
    )


async def lines(database: asyncpg.Pool, shard: int) -> list[str]:
    """Return the journal's archive, a line per record."""
    rows = await database.fetch(
        "SELECT records FROM journal WHERE shard = $1 ORDER BY epoch, first_seq", shard
    )
    return [line for row in rows for line in row["records"].split("\n")]


@pytest.fixture
async def parked(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, event: str, poisoned: None
) -> Booked:
    """Park one booking among others, cancel it later, and take the poison away; return it."""
    bad = booked(event, (1, 2, 100), (2, 1, 50), user_id=POISON)
    batch = entries(booked(event), bad, booked(event))
    written = await write(connection, shard, [*batch])
    assert written.is_frozen
    await write(connection, shard, [entry(4, cancelled(bad)), entry(5, booked(event))])
    await database.execute("ALTER TABLE bookings DROP CONSTRAINT poison")
    return bad


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("bad", [[0], [1], [63], [0, 1, 62], list(range(0, 64, 2))])
async def test_f28_bisected(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, event: str, bad: list[int]
) -> None:
    """F28: wherever the refused records stand, all others are persisted and the seqs go on."""
    records: list[Record] = [
        booked(event, user_id=POISON if number in bad else None) for number in range(64)
    ]
    batch = entries(*records)
    written = await write(connection, shard, [*batch])
    assert ledger.Written(ledger.Place(64, sum(len(one.raw) + 1 for one in batch)), True) == written
    rows = await database.fetch("SELECT seq FROM bookings WHERE shard = $1 ORDER BY seq", shard)
    assert [number + 1 for number in range(64) if number not in bad] == [row[0] for row in rows]
    held = await quarantine.rows_of(database, shard)
    assert [number + 1 for number in bad] == [row.seq for row in held]
    assert [batch[number].raw for number in bad] == [row.record for row in held]
    assert all("poison" in row.reason for row in held)
    expected = [
        quarantine.QUARANTINED if number in bad else one.raw.decode()
        for number, one in enumerate(batch)
    ]
    assert expected == await lines(database, shard)
    told = await outbox.read(database, shard=shard, epoch=1, after_seq=0)
    assert [row[0] for row in rows] == [notice.seq for notice in told.notices]
    row = await reigns.read(database, shard)
    assert row is not None
    assert ("frozen", True) == (row.state, row.reason.startswith(f"record {bad[0] + 1} of epoch 1"))


async def test_f9_f28_bytes_that_are_no_text(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, event: str
) -> None:
    """F9: damaged bytes of any kind are kept to the bit, and leave the archive readable."""
    raw = b"\x00\xff\n{\n" + bytes(range(256))
    first, last = booked(event), booked(event)
    reason = "does not decode \0"
    await write(connection, shard, [entry(1, first), Damaged(2, raw, reason), entry(3, last)])
    (row,) = await quarantine.rows_of(database, shard)
    assert (raw, 2) == (row.record, row.seq)
    assert ["", quarantine.QUARANTINED, ""] == [
        line if line.startswith("!") else "" for line in await lines(database, shard)
    ]


async def test_f28_batch_of_nothing_but_damage(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int
) -> None:
    """F28: a batch without one sound record moves the checkpoint as well."""
    written = await write(connection, shard, [Damaged(1, b"x", "bad"), Damaged(2, b"y", "bad")])
    assert 2 == written.place.last_seq
    assert [quarantine.QUARANTINED] * 2 == await lines(database, shard)
    assert 2 == await quarantine.held(database, shard)


async def test_replayed(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, parked: Booked
) -> None:
    """A mended record becomes rows, with what later records said of it, and leaves no mark."""
    assert await bookings.by_id(database, parked.booking_id) is None
    raw = seal(msgspec.json.encode(parked))
    place = (shard, 1, 2)
    before = await content(database)
    again = await quarantine.replay(
        connection, place=place, raw=raw, by="ada", why="", applies=False
    )
    assert before == await content(database)
    assert [(1, 4)] == again
    await quarantine.replay(connection, place=place, raw=raw, by="ada", why="", applies=True)
    # Who follows the archive is past it; what later records give to tell, they have told.
    told = await database.fetch("SELECT kind, subject_id, seq FROM outbox WHERE shard = $1", shard)
    assert [("booking.confirmed", parked.booking_id, 2)] == [tuple(row) for row in told]
    row = await bookings.by_id(database, parked.booking_id)
    assert row is not None
    assert ("cancelled", 2, 250, 2) == (row.status, row.version, row.total_minor, row.seq)
    tickets = "SELECT count(*) FROM tickets WHERE booking_id = $1"
    assert 3 == await database.fetchval(tickets, parked.booking_id)
    assert raw.decode() == (await lines(database, shard))[1]
    assert [] == await quarantine.rows_of(database, shard)
    (kept,) = await quarantine.rows_of(database, shard, resolved=True)
    assert ("replayed", "ada") == (kept.state, kept.changed_by)
    with pytest.raises(CannotResolve, match="was replayed by ada"):
        await quarantine.replay(connection, place=place, raw=raw, by="b", why="", applies=True)


async def test_discarded(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, parked: Booked
) -> None:
    """A record that is given up keeps its bytes and its mark, with who and why."""
    place = (shard, 1, 2)
    before = await quarantine.rows_of(database, shard)
    await quarantine.discard(connection, place=place, by="ada", why="test", applies=False)
    assert before == await quarantine.rows_of(database, shard)
    await quarantine.discard(connection, place=place, by="ada", why="test", applies=True)
    assert 0 == await quarantine.held(database, shard)
    (kept,) = await quarantine.rows_of(database, shard, resolved=True)
    assert ("discarded", "ada", "test") == (kept.state, kept.changed_by, kept.note)
    assert parked.booking_id.encode() in kept.record
    assert quarantine.QUARANTINED == (await lines(database, shard))[1]
    with pytest.raises(CannotResolve, match="was discarded by ada"):
        await quarantine.discard(connection, place=place, by="b", why="again", applies=True)


async def test_mending_is_refused(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, parked: Booked
) -> None:
    """No record, another place, a record that is none, a shard that sells: nothing changes."""
    raw = seal(msgspec.json.encode(parked))
    other = seal(msgspec.json.encode(msgspec.structs.replace(parked, user_id="\0")))
    before = await content(database)

    async def replay(raw: bytes, seq: int = 2) -> None:
        await quarantine.replay(
            connection, place=(shard, 1, seq), raw=raw, by="a", why="", applies=True
        )

    with pytest.raises(CannotResolve, match="no such record"):
        await replay(raw, seq=3)
    with pytest.raises(CorruptRecord):
        await replay(raw[:-1])
    with pytest.raises(CannotResolve, match="PostgreSQL refuses"):
        await replay(other)
    await database.execute("UPDATE shard_epoch SET state = 'open' WHERE shard = $1", shard)
    with pytest.raises(CannotResolve, match="not frozen"):
        await replay(raw)
    await database.execute("UPDATE shard_epoch SET state = 'frozen' WHERE shard = $1", shard)
    assert before == await content(database)
    assert 1 == await quarantine.held(database, shard)


async def test_f28_sound_batches_cost_nothing_more(
    connection: asyncpg.Connection, database: asyncpg.Pool, shard: int, event: str
) -> None:
    """A batch without poison leaves the shard open and nothing in quarantine."""
    written = await write(connection, shard, [*entries(published(event, 5), booked(event))])
    assert not written.is_frozen
    assert [] == await quarantine.rows_of(database, shard, resolved=True)
    assert [] == await quarantine.conflicts(database, shard)
