"""Redo: what workers remember joins the ledger where it stood, or is kept as a conflict."""

from __future__ import annotations

import datetime as dt
import itertools

import asyncpg
import msgspec
import pytest

from engine.ids import new_id
from engine.records import Booked, Cancelled, Extended, Item, Lost, Record, decode, encode
from store import ledger, redo, reigns
from tests.store.records import AT_MS, booked, cancelled, entries, published

HOLDER = "recover-test"


@pytest.fixture
async def event(database: asyncpg.Pool, shard: int) -> str:
    """Make an event with two tiers of five places, published in record 1."""
    event_id, organizer = new_id("evt"), new_id("org")
    now = dt.datetime.now(dt.UTC)
    await database.execute("INSERT INTO organizers (id, name) VALUES ($1, 'Hall')", organizer)
    await database.execute(
        "INSERT INTO events (id, organizer_id, shard, name, timezone, currency, starts_at,"
        " ends_at, sale_opens_at, sale_closes_at, person_max)"
        " VALUES ($1, $2, $3, 'Show', 'UTC', 'EUR', $4, $4, $4, $5, 10)",
        event_id,
        organizer,
        shard,
        now,
        now + dt.timedelta(days=1),
    )
    for tier_no in (1, 2):
        await database.execute(
            "INSERT INTO tiers VALUES ($1, $2, $3, 'Floor', 100, 5, 10)",
            event_id,
            tier_no,
            new_id("tier"),
        )
    return event_id


@pytest.fixture
async def claimed(connection: asyncpg.Connection, shard: int, event: str) -> Booked:
    """Claim the shard under epoch 2; epoch 1 has its event and one booking, records 1 and 2."""
    await connection.execute(
        "INSERT INTO shard_epoch (shard, epoch, state, holder, lease_until, nonce, home)"
        " VALUES ($1, 2, 'recovering', $2, now() + interval '1 hour', 'n', '0')",
        shard,
        HOLDER,
    )
    first = booked(event, (1, 2, 100))
    await ledger.read_checkpoint(connection, shard=shard, epoch=1)
    await ledger.write(
        connection,
        shard=shard,
        epoch=1,
        last_seq=0,
        entries=entries(published(event, 5, 5), first),
        holder=HOLDER,
    )
    return first


def row(seq: int, record: Record, *, epoch: int = 1) -> redo.Row:
    """Make a row as a worker writes it."""
    return redo.Row(epoch, seq, encode(record).decode())


async def merge(connection: asyncpg.Connection, shard: int, *rows: redo.Row) -> redo.Merged:
    """Let a worker write rows, and merge them."""
    if rows:
        await redo.write(connection, shard=shard, worker="w1", rows=rows)
    found = await redo.read(connection, shard)
    merged = await redo.merge(connection, shard=shard, holder=HOLDER, epochs=[1], rows=found)
    assert not await redo.has_rows(connection, shard)
    return merged


async def conflicts(connection: asyncpg.Connection, shard: int) -> list[tuple[int, str]]:
    """Return the conflicts as seq and reason."""
    rows = await connection.fetch(
        "SELECT seq, reason FROM conflicts WHERE shard = $1 ORDER BY seq, id", shard
    )
    return [(each["seq"], each["reason"]) for each in rows]


async def journal(connection: asyncpg.Connection, shard: int) -> list[Record]:
    """Return the archived records of epoch 1; the batches must join without a gap."""
    rows = await connection.fetch(
        "SELECT * FROM journal WHERE shard = $1 AND epoch = 1 ORDER BY first_seq", shard
    )
    assert all(a["last_seq"] + 1 == b["first_seq"] for a, b in itertools.pairwise(rows))
    records = [decode(line.encode()) for each in rows for line in each["records"].split("\n")]
    assert len(records) == rows[-1]["last_seq"]
    return records


async def test_f5_found_where_it_stood(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """F5, I4, I7: a remembered booking keeps its place; what nobody knows is marked as lost."""
    later, end = booked(event, (1, 1, 100)), cancelled(claimed, at_ms=AT_MS + 7)
    merged = await merge(connection, shard, row(6, end), row(4, later))

    assert (2, 0, 0, 2) == (merged.found, merged.known, merged.conflicts, merged.lost)
    assert {1: 6} == merged.last_seqs
    records = await journal(connection, shard)
    assert [Lost, Booked, Lost, Cancelled] == [type(record) for record in records[2:]]
    rows = await connection.fetch(
        "SELECT id, status::text, epoch, seq, cancelled_epoch, cancelled_seq FROM bookings"
        " WHERE event_id = $1 ORDER BY seq",
        event,
    )
    assert [
        (claimed.booking_id, "cancelled", 1, 2, 1, 6),
        (later.booking_id, "confirmed", 1, 4, None, None),
    ] == [tuple(each) for each in rows]


async def test_merging_again_changes_nothing(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """Rows that a second worker, or the same one again, brings later are known."""
    rows = [row(3, booked(event)), row(2, claimed), row(5, cancelled(claimed))]
    await merge(connection, shard, *rows)
    merged = await merge(connection, shard, *rows)

    assert (0, 3, 0, 0) == (merged.found, merged.known, merged.conflicts, merged.lost)
    assert not merged.found
    assert [] == await conflicts(connection, shard)


async def test_f29_never_oversold(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """F29, I1: bookings for which no place is left, or of no tier, are kept as conflicts."""
    many, more, few = booked(event, (1, 3, 100)), booked(event, (1, 1, 100)), booked(event)
    end = cancelled(many)
    merged = await merge(
        connection,
        shard,
        row(3, many),
        row(4, more),
        row(5, end),
        row(6, few),
        row(7, booked(event, (9, 1, 100))),
        row(8, booked(new_id("evt"))),
    )

    assert (3, 3) == (merged.found, merged.conflicts)
    assert [
        (4, "tier 1 has 0 places left"),
        (7, "tier 9 of the event is not on sale"),
        (8, "tier 1 of the event is not on sale"),
    ] == await conflicts(connection, shard)
    records = await journal(connection, shard)
    whys = [record.why for record in records if isinstance(record, Lost)]
    assert ["conflict"] * 3 == whys


async def test_f29_a_seat_has_one_owner(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """I3: of two remembered bookings of one seat the first has it; a blocked seat is nobody's."""
    await connection.execute("INSERT INTO blocked_seats VALUES ($1, 's1-9', 2, now())", event)
    one, two, three = booked(event), booked(event), booked(event)

    def seated(record: Booked, seat: str) -> Booked:
        return Booked(
            **{name: getattr(record, name) for name in record.__struct_fields__ if name != "items"},
            items=[Item(2, 1, 100, (seat,))],
        )

    one, two, three = seated(one, "s1-1"), seated(two, "s1-1"), seated(three, "s1-9")
    merged = await merge(connection, shard, row(3, one), row(4, two), row(5, three))

    assert (1, 2) == (merged.found, merged.conflicts)
    assert [(4, "somebody else has s1-1"), (5, "somebody else has s1-9")] == await conflicts(
        connection, shard
    )


async def test_two_truths_about_one_place(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """Another record than the ledger's, or than another worker's, is kept as a conflict."""
    mine, other = booked(event), booked(event)
    await redo.write(connection, shard=shard, worker="w2", rows=[row(4, other)])
    merged = await merge(connection, shard, row(2, booked(event)), row(4, mine))

    assert (1, 2) == (merged.found, merged.conflicts)
    assert [
        (2, "another record stands at its place in the ledger"),
        (4, "another worker knows another record at its place"),
    ] == await conflicts(connection, shard)


async def test_f5_one_record_in_two_versions(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """What a worker tells in version 1, and the journal in its reign's, is no conflict."""
    made = booked(event)
    newer = msgspec.structs.replace(made, version=2)
    merged = await merge(connection, shard, row(3, made), row(3, newer))

    assert (1, 0, 0) == (merged.found, merged.conflicts, merged.lost)
    assert 3 == len(await journal(connection, shard))


async def test_what_cannot_be_judged_is_kept(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """What rests on something unknown, damaged, of strange epochs or far ahead is a conflict."""
    extended = Extended(
        version=1, at_ms=AT_MS, event_id=event, hold_id="hold_x", user_id="u", expires_at_ms=2
    )
    merged = await merge(
        connection,
        shard,
        row(3, extended),
        redo.Row(1, 4, "00000000{}"),
        row(1, booked(event), epoch=7),
        row(10**12, booked(event)),
        row(5, cancelled(booked(event))),
    )

    assert (0, 5) == (merged.found, merged.conflicts)
    reasons = [reason for _, reason in await conflicts(connection, shard)]
    assert [
        "epoch 7 was never open",
        "there is no such hold",
        "record fails its check",
        "there is no such booking",
        "no journal was ever so far ahead of the ledger",
    ] == [reason.partition(": ")[0] for reason in reasons]
    checkpoints = await connection.fetch(
        "SELECT epoch FROM shard_checkpoint WHERE shard = $1", shard
    )
    assert [1] == [each["epoch"] for each in checkpoints]


async def test_a_place_given_up_asks_for_a_rebuild(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """I8 (R5, seed 105350): Redis may come back with what the ledger could not take."""
    merged = await merge(connection, shard, row(3, booked("evt_unknown")))

    assert (0, 1) == (merged.found, merged.conflicts)
    reign = await reigns.read(connection, shard)
    assert reign is not None
    assert reign.has_merged


async def test_many_rows_in_many_batches(
    connection: asyncpg.Connection,
    shard: int,
    event: str,
    claimed: Booked,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Batches end anywhere, in a gap as well, and join without a gap."""
    monkeypatch.setattr(redo, "RECORDS_MAX", 3)
    merged = await merge(
        connection, shard, row(4, booked(event)), row(5, booked(event)), row(21, booked(event))
    )

    assert (3, 16) == (merged.found, merged.lost)
    assert 21 == len(await journal(connection, shard))


async def test_a_lost_claim_merges_nothing(
    connection: asyncpg.Connection, shard: int, event: str, claimed: Booked
) -> None:
    """I13: rows and conflicts stay as they were when another recovery has the shard."""
    await redo.write(connection, shard=shard, worker="w", rows=[row(3, booked(event))])
    await connection.execute("UPDATE shard_epoch SET holder = 'b' WHERE shard = $1", shard)
    with pytest.raises(ledger.EpochOver):
        await redo.merge(
            connection,
            shard=shard,
            holder=HOLDER,
            epochs=[1],
            rows=await redo.read(connection, shard),
        )
    assert await redo.has_rows(connection, shard)
    assert 2 == len(await journal(connection, shard))
