"""Each kind of drift is planted in real stores, found, and named with event, tier and booking."""

from __future__ import annotations

import pytest

from engine import keys
from engine.ids import new_id, ticket_id
from engine.records import frame, read_entries
from reconciler.event.violation import Violation
from reconciler.judge.check import Result
from tests.checks import ask
from tests.reconciler.conftest import BoxOffice, Sold
from tests.reconciler.plants import DRIFTS, Drift


def place(violation: Violation) -> tuple[str | None, int | None, str | None, str | None]:
    """Return what a violation names."""
    return violation.event_id, violation.tier_no, violation.tier_id, violation.booking_id


def booking_place(
    sold: Sold, number: int, tier_no: int
) -> tuple[str | None, int | None, str | None, str | None]:
    """Return what a violation of that booking must name."""
    return (sold.event.event_id, tier_no, sold.event.tier_ids[tier_no - 1], sold.bookings[number])


async def test_clean(sold: Sold) -> None:
    """Half persisted, partly cancelled: nothing is found, and all is counted."""
    result = await sold.office.check()
    assert ([], [], 0, "clean") == (
        result.violations,
        result.errors,
        result.exit_code,
        result.verdict,
    )
    assert (1, 5, 8) == (result.events, result.bookings, result.records)
    [summary] = result.shards
    assert (sold.office.shard, 1, 8, 5, 3) == (
        summary.shard,
        summary.epoch,
        summary.watermark_seq,
        summary.checkpoint_seq,
        summary.lag,
    )


async def test_clean_when_drained_and_trimmed(sold: Sold) -> None:
    """An empty stream behind a full checkpoint is no drift."""
    assert 3 == await sold.office.drain(trim=True)
    assert {} == await sold.found()


async def test_clean_shard_without_events(office: BoxOffice) -> None:
    """A shard that sold nothing is clean."""
    result = await office.check()
    assert (0, 0, []) == (result.exit_code, result.events, result.violations)


async def test_clean_when_fenced(sold: Sold) -> None:
    """A shard under recovery is read like any other."""
    office = sold.office
    await ask(office.redis, "HSET", keys.meta(office.shard), "state", "recovering")
    await office.database.execute(
        "UPDATE shard_epoch SET epoch = 2, state = 'recovering' WHERE shard = $1", office.shard
    )
    assert {} == await sold.found()


async def test_clean_across_epochs(sold: Sold) -> None:
    """Bookings of a drained epoch stay proved when a new epoch goes on selling."""
    office = sold.office
    await office.drain()
    meta = keys.meta(office.shard)
    await ask(office.redis, "HSET", meta, "epoch", 2, "seq", 0, "persisted_seq", 0)
    await office.database.execute("UPDATE shard_epoch SET epoch = 2 WHERE shard = $1", office.shard)
    result = await office.check(event_id=sold.event.event_id)
    assert ([], []) == (result.violations, result.errors)
    assert (2, 0) == (result.shards[0].epoch, result.shards[0].watermark_seq)


async def test_ticket_of_nobody(sold: Sold) -> None:
    """A ticket whose booking does not exist is named."""
    ghost = f"bk_{'0' * 26}"
    await sold.office.database.execute(
        "INSERT INTO tickets VALUES ($1, $2, $3, 1)",
        sold.event.event_id,
        ticket_id(ghost, 1),
        ghost,
    )
    found = await sold.found()
    assert {"ticket_without_booking"} == set(found)
    assert [ghost] == [v.booking_id for v in found["ticket_without_booking"]]


@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS.keys())
async def test_drift(sold: Sold, drift: Drift) -> None:
    """Each drift is found by all its codes and no others, with its tier, booking and figures."""
    await drift.plant(sold)
    found = await sold.found()
    assert set(drift.codes.split()) == set(found)
    for code, tier_no, booking, expected, got, seq, invariant in drift.named:
        own = [v for v in found[code] if v.tier_no == tier_no]
        booking_id = None if booking is None else sold.bookings[booking]
        tier_id = sold.event.tier_ids[tier_no - 1]
        assert (sold.event.event_id, tier_no, tier_id, booking_id) in [place(v) for v in own]
        assert seq is None or [seq] == [v.seq for v in own]
        assert invariant is None or {invariant} == {v.invariant for v in own}
        if expected is not None:
            assert [(expected, got)] == [(v.expected, v.found) for v in own]
        if code == "person_differs" and booking is not None:
            assert [True] == [sold.users[booking] in v.message for v in own]


async def test_journal_batch_missing(sold: Sold) -> None:
    """A lost batch in PostgreSQL is named by every booking that it made or ended."""
    await sold.office.database.execute("DELETE FROM journal WHERE shard = $1", sold.office.shard)
    found = await sold.found()
    named = {(v.booking_id, v.seq) for v in found["record_missing"]}
    bookings = sold.bookings
    assert {
        (None, 1),
        (bookings[0], 2),
        (bookings[1], 3),
        (bookings[2], 4),
        (bookings[2], 5),
    } == named
    assert {sold.event.event_id} == {v.event_id for v in found["record_missing"]}


async def test_journal_checkpoint_ahead_of_nobody(sold: Sold) -> None:
    """Records that the checkpoint counts and nobody has are reported for the shard."""
    office = sold.office
    await office.drain()
    await office.database.execute(
        "UPDATE shard_checkpoint SET last_seq = 9 WHERE shard = $1", office.shard
    )
    found = await sold.found()
    assert {"record_missing", "ledger_ahead"} == set(found)
    assert [(None, 9)] == [(v.event_id, v.seq) for v in found["record_missing"]]


async def test_f9_flipped_byte_in_stream(sold: Sold) -> None:
    """A record that fails its check is named by the booking it made (F9)."""
    office = sold.office
    rows = await ask(office.redis, "XRANGE", office.journal, "6", "+")
    await ask(office.redis, "XTRIM", office.journal, "MAXLEN", 5)
    await ask(office.redis, "DEL", office.journal)
    for entry_id, fields in rows:
        raw = bytearray(dict(fields)[b"records"])
        if entry_id == b"6-1":
            raw[40] ^= 1
        await ask(office.redis, "XADD", office.journal, entry_id, "records", bytes(raw))
    found = await sold.found()
    assert [(*booking_place(sold, 3, 1), 6)] == [
        (*place(v), v.seq) for v in found["record_corrupt"]
    ]


async def test_f9_flipped_bit_in_an_entry_of_many(sold: Sold) -> None:
    """F9: of an entry with many records the one that a flipped bit is in is named, and no other."""
    office = sold.office
    rows = await ask(office.redis, "XRANGE", office.journal, "6", "+")
    raws = [entry.raw for row in rows for entry in read_entries(*row)]
    assert len(raws) > 1
    await ask(office.redis, "DEL", office.journal)
    text = bytearray(frame(raws))
    text[len(frame(raws[:1])) - 9] ^= 1
    await ask(office.redis, "XADD", office.journal, rows[-1][0], "records", bytes(text))
    found = await sold.found()
    assert [(*booking_place(sold, 3, 1), 6)] == [
        (*place(v), v.seq) for v in found["record_corrupt"]
    ]
    assert "record_missing" not in found


async def test_flipped_byte_in_journal(sold: Sold) -> None:
    """The same in PostgreSQL's copy of the journal."""
    await sold.office.database.execute(
        "UPDATE journal SET records = replace(records, $2, $3) WHERE shard = $1",
        sold.office.shard,
        '"booked","version":2,"at_ms":',
        '"booked","version":1,"at_ms":',
    )
    found = await sold.found()
    assert {booking_place(sold, 0, 1), booking_place(sold, 1, 2), booking_place(sold, 2, 1)} == {
        place(v) for v in found["record_corrupt"]
    }


async def test_changed_booking(sold: Sold) -> None:
    """A booking in Redis that names another person is found, and so are the counts."""
    office = sold.office
    bookings = keys.event(office.shard, sold.event.event_id).bookings
    value = (await ask(office.redis, "HGET", bookings, sold.bookings[1])).decode()
    changed = value.replace(sold.users[1], new_id("usr"))
    await ask(office.redis, "HSET", bookings, sold.bookings[1], changed)
    found = await sold.found()
    assert {"booking_differs"} == set(found)
    assert [booking_place(sold, 1, 2)] == [place(v) for v in found["booking_differs"]]


async def test_booking_from_future(sold: Sold) -> None:
    """A booking cannot hide behind a record that was never made."""
    office = sold.office
    bookings = keys.event(office.shard, sold.event.event_id).bookings
    value = (await ask(office.redis, "HGET", bookings, sold.bookings[1])).decode().split(" ")
    value[3] = "77"
    await ask(office.redis, "HSET", bookings, sold.bookings[1], " ".join(value))
    found = await sold.found()
    assert [booking_place(sold, 1, 2)] == [place(v) for v in found["booking_from_future"]]


async def test_phantom_booking(sold: Sold) -> None:
    """A row that no record made is named."""
    ghost = f"bk_{'0' * 26}"
    database = sold.office.database
    await database.execute(
        "INSERT INTO bookings SELECT $2, event_id, user_id, status, version, 2500, shard, epoch,"
        " seq, created_at, NULL, fingerprint FROM bookings WHERE id = $1",
        sold.bookings[0],
        ghost,
    )
    await database.execute(
        "INSERT INTO items VALUES ($1, $2, 1, 1, 1, 2500)", sold.event.event_id, ghost
    )
    await database.execute(
        "INSERT INTO tickets VALUES ($1, $2, $3, 1)",
        sold.event.event_id,
        ticket_id(ghost, 1),
        ghost,
    )
    found = await sold.found()
    expected = (sold.event.event_id, 1, sold.event.tier_ids[0], ghost)
    assert [expected] == [place(v) for v in found["row_without_record"]]
    assert [expected] == [place(v) for v in found["booking_not_in_redis"]]


async def test_not_loaded(sold: Sold) -> None:
    """A published event that Redis lost is one violation, not one per booking."""
    office = sold.office
    names = keys.event(office.shard, sold.event.event_id)
    await ask(office.redis, "DEL", *names)
    assert {"not_loaded"} == set(await sold.found())


async def test_loaded_without_record(sold: Sold) -> None:
    """Stock that no record published is found, also of an event that nobody knows."""
    office = sold.office
    ghost = new_id("evt")
    await ask(office.redis, "SADD", keys.events(office.shard), ghost)
    await ask(
        office.redis,
        "COPY",
        keys.event(office.shard, sold.event.event_id).stock,
        keys.event(office.shard, ghost).stock,
    )
    found = await sold.found()
    assert {"loaded_unpublished", "event_missing", "sold_without_owner"} == set(found)
    assert {ghost} == {v.event_id for rows in found.values() for v in rows}


async def test_published_row_without_record(office: BoxOffice) -> None:
    """An event whose row says published, though it never was, is found."""
    event = await office.add_event(publish=False)
    await office.database.execute(
        "UPDATE events SET status = 'published' WHERE id = $1", event.event_id
    )
    result = await office.check()
    assert {("published_without_record", event.event_id)} == {
        (v.code, v.event_id) for v in result.violations
    }


async def test_empty_redis(sold: Sold) -> None:
    """A shard that Redis lost whole is said once, and each event once."""
    office = sold.office
    for key in await ask(office.redis, "KEYS", f"{keys.tag(office.shard)}:*"):
        await ask(office.redis, "DEL", key)
    assert {"meta_missing", "not_loaded"} == set(await sold.found())


async def test_counters_of_shard(sold: Sold) -> None:
    """A shard's own counters that lie are found: seq, persisted_seq, epoch."""
    office = sold.office
    meta = keys.meta(office.shard)
    await ask(office.redis, "HSET", meta, "seq", 7, "persisted_seq", 6)
    await office.database.execute("UPDATE shard_epoch SET epoch = 2 WHERE shard = $1", office.shard)
    assert {"meta_seq_behind", "persisted_seq_ahead", "epoch_differs"} == set(await sold.found())


async def test_one_event_alone(sold: Sold) -> None:
    """With --event, drift of another event of the shard is left out."""
    office = sold.office
    other = await office.add_event()
    stock = keys.event(office.shard, other.event_id).stock
    await ask(office.redis, "HINCRBY", stock, "1.available", 1)
    clean = await office.check(event_id=sold.event.event_id)
    assert (0, 1) == (clean.exit_code, clean.events)
    drift = await office.check(event_id=other.event_id)
    assert {other.event_id} == {v.event_id for v in drift.violations}


async def test_unknown_event(office: BoxOffice) -> None:
    """An event that neither store knows cannot be checked."""
    result = await office.check(event_id=new_id("evt"))
    assert (2, "unchecked", 1) == (result.exit_code, result.verdict, len(result.errors))


async def test_redis_away(office: BoxOffice) -> None:
    """Without Redis nothing is claimed."""
    office.redis_url = "redis://127.0.0.1:1"
    assert_unchecked(await office.check())


async def test_postgres_away(office: BoxOffice) -> None:
    """Without PostgreSQL nothing is claimed."""
    office.database_url = "postgresql://127.0.0.1:1/evently"
    assert_unchecked(await office.check())


def assert_unchecked(result: Result) -> None:
    """The result says that nothing is known."""
    assert (2, [], 1) == (result.exit_code, result.violations, len(result.errors))
