"""The persister: every record becomes rows exactly once, wherever it is stopped or doubled."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest
from redis.asyncio import Redis

from engine import keys, scripts
from engine.commands import Own
from engine.door import Reign
from engine.engine import Engine
from engine.errors import ShardRecovering
from engine.ids import new_id
from engine.outcomes import Applied, Booked
from engine.records import frame, read_entries
from engine.redis_client import connect
from engine.spans import Span
from evently.embedded import ValkeyServer
from persister import metrics, reader
from persister import persister as module
from persister.lag import observe
from persister.persister import Persister
from reconciler.recover.coordinator import Coordinator
from reconciler.recover.decide import CannotOpen
from store import ledger, outbox, quarantine, reigns
from tests.checks import ask, journal, snapshot, users
from tests.conftest import TIMEOUT_MS, start_engine
from tests.engine.conftest import order, publish
from tests.persister import faults
from tests.persister.conftest import RECORDS_MAX, make_options
from tests.store.databases import content

#: More than three batches.
BUYERS = 3 * RECORDS_MAX + 2
#: More points than one batch has, from connecting to its note.
POINTS = 40
#: So often a persister that has an open shard may begin anew before it is seen to be stuck.
ATTEMPTS_MAX = 100


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing wait for news or back off for long."""
    monkeypatch.setattr(reader, "READ_BLOCK_MS", 20)
    monkeypatch.setattr(module, "BACK_OFF_S_MIN", 0.001)
    monkeypatch.setattr(module, "BACK_OFF_S_MAX", 0.002)


@pytest.fixture
async def bookings(engine: Engine, shard: int) -> dict[str, str]:
    """Sell: return the status of every acknowledged booking by its id; every third is cancelled."""
    return await sell(engine, shard)


async def sell(engine: Engine, shard: int) -> dict[str, str]:
    """Order for many, cancel for some of them."""
    event = new_id("evt")
    await publish(engine, shard, event, 1000, 1000)
    orders = [order(event, user, (1, 1), (2, 2)) for user in users(BUYERS)]
    for outcome in await asyncio.gather(*(engine.book(shard, one) for one in orders)):
        assert isinstance(outcome, Booked)
    found = {one.id: "confirmed" for one in orders}
    for one in orders[::3]:
        gone = await engine.cancel(shard, Own(event, one.id, one.user_id))
        assert isinstance(gone, Applied)
        found[one.id] = "cancelled"
    return found


async def checkpoint(database: asyncpg.Pool, shard: int, *, epoch: int = 1) -> int:
    """Return the checkpoint of *epoch*."""
    seq: int | None = await database.fetchval(
        "SELECT last_seq FROM shard_checkpoint WHERE shard = $1 AND epoch = $2", shard, epoch
    )
    return seq or 0


async def last_seq(redis: Redis, shard: int) -> int:
    """Return the last record there is."""
    return int(await ask(redis, "HGET", keys.meta(shard), "seq"))


@contextlib.asynccontextmanager
async def running(
    persister: Persister, attempts_max: int = 1_000_000
) -> AsyncIterator[asyncio.Task[None]]:
    """Run for the length of the block; an error that ends the run is raised at its end."""
    follow, attempts = persister._follow_one_reign, itertools.count()

    async def follow_or_stop() -> None:
        if next(attempts) < attempts_max:
            await follow()
        else:
            persister.stop()

    persister._follow_one_reign = follow_or_stop  # type: ignore[method-assign]
    task = asyncio.create_task(persister.run())
    try:
        yield task
    except BaseException:
        await cancel(task)
        raise
    persister.stop()
    await task


async def reach(
    task: asyncio.Task[None], database: asyncpg.Pool, shard: int, seq: int, *, epoch: int = 1
) -> None:
    """Wait until PostgreSQL has record *seq*; raise the error that ended the run, if one did."""
    while await checkpoint(database, shard, epoch=epoch) < seq:
        if task.done():
            task.result()
        assert not task.done()
        await asyncio.sleep(0)


async def run_until_done(
    persister: Persister, database: asyncpg.Pool, redis: Redis, shard: int
) -> None:
    """Run until PostgreSQL has everything and Redis knows."""
    seq = await last_seq(redis, shard)
    async with running(persister, ATTEMPTS_MAX) as task:
        await reach(task, database, shard, seq)
        while seq != int(await ask(redis, "HGET", keys.meta(shard), "persisted_seq")):
            assert not task.done()
            await asyncio.sleep(0)


async def check_persisted(
    database: asyncpg.Pool, redis: Redis, shard: int, bookings: dict[str, str]
) -> None:
    """
    Compare the rows with what was acknowledged, and the kept journal with the stream (I4, I7).

    Raises:
        AssertionError: a booking is missing, doubled or in another state, or records are.
    """
    rows = await database.fetch("SELECT id, status FROM bookings WHERE shard = $1", shard)
    assert len(bookings) == len(rows)
    assert bookings == {row["id"]: row["status"] for row in rows}
    ids = list(bookings)
    for table, expected in (("items", 2), ("tickets", 3)):
        counts = Counter(
            row["booking_id"]
            for row in await database.fetch(
                f"SELECT booking_id FROM {table} WHERE booking_id = ANY ($1)",  # noqa: S608
                ids,
            )
        )
        assert dict.fromkeys(ids, expected) == dict(counts)
    batches = await database.fetch(
        "SELECT * FROM journal WHERE shard = $1 ORDER BY first_seq", shard
    )
    records = [line for batch in batches for line in batch["records"].encode().split(b"\n")]
    assert [entry.raw for entry in await journal(redis, shard)] == records


async def test_bookings_that_come_close_together_share_a_transaction(
    blocking_redis: Redis,
    redis: Redis,
    database_url: str,
    database: asyncpg.Pool,
    engine: Engine,
    shard: int,
) -> None:
    """The first is written at once; each of the others would else be a flush in both stores."""
    spans: list[Span] = []
    options = replace(make_options(shard, interval_ms=1_000), spans=spans.append)
    event = new_id("evt")
    await publish(engine, shard, event, 100, 100)
    async with running(Persister({"0": blocking_redis}, database_url, options)) as task:
        await reach(task, database, shard, await last_seq(redis, shard))
        for user in users(RECORDS_MAX - 1):
            assert isinstance(await engine.book(shard, order(event, user, (1, 1))), Booked)
            await asyncio.sleep(0.02)
        end_seq = await last_seq(redis, shard)
        await reach(task, database, shard, end_seq)
        # Each batch is told when it is written.
        while not spans or spans[-1].attributes["evently.last_seq"] != end_seq:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    transactions = await database.fetchval("SELECT count(*) FROM journal WHERE shard = $1", shard)
    assert 2 <= transactions <= 3
    told = [(one.name, one.attributes["evently.shard"]) for one in spans]
    assert [("persist batch", shard)] * transactions == told


async def test_persists_everything(
    persister: Persister, database: asyncpg.Pool, redis: Redis, shard: int, bookings: dict[str, str]
) -> None:
    """What was booked before and after the start is in PostgreSQL, in batches."""
    await run_until_done(persister, database, redis, shard)
    await check_persisted(database, redis, shard, bookings)
    batches = await database.fetch("SELECT first_seq FROM journal WHERE shard = $1", shard)
    assert len(batches) > 1


async def test_follows_while_selling(
    persister: Persister, engine: Engine, database: asyncpg.Pool, redis: Redis, shard: int
) -> None:
    """Sales and persisting at the same time lose and double nothing."""
    async with running(persister) as task:
        sold = [await sell(engine, shard) for _ in range(3)]
        await reach(task, database, shard, await last_seq(redis, shard))
    everything = {key: status for one in sold for key, status in one.items()}
    await check_persisted(database, redis, shard, everything)


async def test_f27_two_persisters(
    persister: Persister,
    blocking_redis: Redis,
    database_url: str,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F27: two that both believe to have the shard write every record once between them."""
    unlocked, both = 0, asyncio.Event()

    async def give_back_lock(point: str, connection: asyncpg.Connection) -> None:
        """Let the other have the lock too, and wait until it has."""
        nonlocal unlocked
        if not point.startswith("after SELECT pg_try_advisory_lock"):
            return
        had_it = await connection.fetchval(
            "SELECT pg_advisory_unlock($1, $2)", module.LOCK_SPACE, shard
        )
        if not had_it:
            return
        unlocked += 1
        if unlocked > 1:
            both.set()
        async with asyncio.timeout(10):
            await both.wait()

    faults.install(monkeypatch, give_back_lock)
    rival = Persister({"0": blocking_redis}, database_url, make_options(shard))
    async with running(rival):
        await run_until_done(persister, database, redis, shard)
    assert unlocked > 1
    await check_persisted(database, redis, shard, bookings)


async def test_f47_a_home_that_was_left_is_not_followed(
    persister: Persister, database: asyncpg.Pool, redis: Redis, shard: int, bookings: dict[str, str]
) -> None:
    """F47, I20: where only PostgreSQL tells that the reign is over, a silent journal is let go."""
    following = asyncio.create_task(persister._follow_one_reign())
    try:
        await reach(following, database, shard, await last_seq(redis, shard))
        row = await reigns.read(database, shard)
        assert row is not None
        words = {"holder": "a mover", "nonce": "n", "home": row.home}
        assert row.epoch + 1 == await reigns.claim(database, shard, seen=row, **words)
        with pytest.raises(module.NotOpen, match="the reign is over"):
            await asyncio.wait_for(following, 30)
    finally:
        following.cancel()


async def test_second_persister_waits(
    persister: Persister,
    blocking_redis: Redis,
    database_url: str,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
) -> None:
    """The advisory lock keeps the second one idle, and lets it go on when the first is gone."""
    rival = Persister({"0": blocking_redis}, database_url, make_options(shard))
    async with running(persister) as task:
        await reach(task, database, shard, 1)
        with pytest.raises(module.NotOpen, match="another persister has the shard"):
            await rival._follow_one_reign()
    await run_until_done(rival, database, redis, shard)
    await check_persisted(database, redis, shard, bookings)


@pytest.mark.parametrize("is_poisoned", [False, True])
@pytest.mark.parametrize("fault", [asyncio.CancelledError, ConnectionResetError])
async def test_f25_f26_stops_at_every_point(
    blocking_redis: Redis,
    database_url: str,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    fault: type[BaseException],
    is_poisoned: bool,
) -> None:
    """F25, F26: killed or cut off at the nth point, for each n, then resumed: rows are exact."""
    if is_poisoned:
        await poison(redis, shard, "records", "0badc0de{}")
    left = 0
    points: list[str] = []

    async def fail(point: str, _: asyncpg.Connection) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            points.append(point)
            persister.stop()
            raise fault

    faults.install(monkeypatch, fail)
    for number in range(1, POINTS + 1):
        left = number
        persister = Persister({"0": blocking_redis}, database_url, make_options(shard))
        with contextlib.suppress(asyncio.CancelledError):
            await run_until_hit(persister, database, redis, shard)
        if len(points) < number:
            break  # All was written before this point.
    assert "after commit" in points
    assert "before commit" in points
    left = 0  # Nothing fails from here on.
    persister = Persister({"0": blocking_redis}, database_url, make_options(shard))
    await run_until_done(persister, database, redis, shard)
    assert int(is_poisoned) == len(await quarantine.rows_of(database, shard))
    if is_poisoned:
        rows = await database.fetch("SELECT id, status FROM bookings WHERE shard = $1", shard)
        assert bookings == {row["id"]: row["status"] for row in rows}
        assert b"frozen" == await ask(redis, "HGET", keys.meta(shard), "state")
    else:
        await check_persisted(database, redis, shard, bookings)


async def poison(redis: Redis, shard: int, name: str, value: str) -> int:
    """Append an entry that is no record of ours; return its seq."""
    seq = await last_seq(redis, shard) + 1
    await ask(redis, "XADD", keys.journal(shard, 1), f"{seq}-1", name, value)
    await ask(redis, "HSET", keys.meta(shard), "seq", seq)
    return seq


async def run_until_hit(
    persister: Persister, database: asyncpg.Pool, redis: Redis, shard: int
) -> None:
    """Run until a fault ends it, or until nothing is left to write."""
    seq = await last_seq(redis, shard)
    async with running(persister, ATTEMPTS_MAX) as task:
        while not task.done() and await checkpoint(database, shard) < seq:  # noqa: ASYNC110
            await asyncio.sleep(0)


@pytest.mark.parametrize("moment", ["before commit", "after commit"])
async def test_f26_connection_lost_around_commit(
    persister: Persister,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """F26: whether a batch was committed is read from the checkpoint, never guessed."""
    cuts = 0

    async def cut(point: str, connection: asyncpg.Connection) -> None:
        nonlocal cuts
        if point == moment and cuts < 3:
            cuts += 1
            connection.terminate()
            raise ConnectionResetError(f"lost {moment}")

    faults.install(monkeypatch, cut)
    await run_until_done(persister, database, redis, shard)
    assert 3 == cuts
    await check_persisted(database, redis, shard, bookings)


@pytest.mark.parametrize("error", [asyncpg.InternalClientError, TypeError])
async def test_unforeseen_error_is_tried_again(
    persister: Persister,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
) -> None:
    """Whatever one batch fails with, run() logs it, counts it, backs off and goes on."""
    left = [error]

    async def fail(point: str, _: asyncpg.Connection) -> None:
        if point == "before commit" and left:
            raise left.pop()

    faults.install(monkeypatch, fail)
    await run_until_done(persister, database, redis, shard)
    await check_persisted(database, redis, shard, bookings)


async def test_f30_trims_behind_the_checkpoint(
    blocking_redis: Redis,
    database_url: str,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F30: with no retention at all, no record goes before it is committed, and then it goes."""
    entries = await journal(redis, shard)
    seen: list[tuple[int, int]] = []

    async def look(point: str, _: asyncpg.Connection) -> None:
        if point == "before commit":
            done = await checkpoint(database, shard)
            seen.append((done, len(await journal(redis, shard))))

    faults.install(monkeypatch, look)
    persister = Persister({"0": blocking_redis}, database_url, make_options(shard, retention_s=0))
    await run_until_done(persister, database, redis, shard)
    assert [(done, len(entries) - done) for done, _ in seen] == seen
    assert len(seen) > 3
    assert [] == await journal(redis, shard)
    trimmed = await ask(redis, "HGET", keys.meta(shard), "trimmed_seq")
    assert len(entries) == int(trimmed) == await checkpoint(database, shard)
    rows = await database.fetch("SELECT id, status FROM bookings WHERE shard = $1", shard)
    assert bookings == {row["id"]: row["status"] for row in rows}


async def test_keeps_the_journal_for_its_retention(
    persister: Persister, database: asyncpg.Pool, redis: Redis, shard: int, bookings: dict[str, str]
) -> None:
    """Within the retention nothing is trimmed, though PostgreSQL has it all."""
    entries = await journal(redis, shard)
    await run_until_done(persister, database, redis, shard)
    assert entries == await journal(redis, shard)


@pytest.mark.parametrize("lost", [1, 3, -1, 0])
async def test_f30_f32_gap_stops_it(
    persister: Persister,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
    lost: int,
) -> None:
    """A record that is gone (or all, 0) is never stepped over: the checkpoint stays before it."""
    entries = await journal(redis, shard)
    log = keys.journal(shard, 1)
    gone = entries[lost - 1 if lost > 0 else lost].seq
    if lost:
        await take_out(redis, log, gone)
    else:
        await ask(redis, "DEL", log)
    for _ in range(2):
        with pytest.raises(ledger.JournalGap, match=f"record(s)? {gone}"):
            await persister._follow_one_reign()
    assert await checkpoint(database, shard) < gone
    before = await content(database), await snapshot(redis, shard)
    await run_until_failures(persister, shard, "JournalGap")
    assert before == (await content(database), await snapshot(redis, shard))


@pytest.mark.parametrize("record", ["0badc0de{}", "", "not even long enough", None])
async def test_f9_f28_poison_record_is_parked(
    persister: Persister,
    engine: Engine,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
    record: str | None,
) -> None:
    """F9, F28: what does not decode is parked, all around it is persisted, and sales stop."""
    name, value = ("records", record) if record is not None else ("other", "x")
    seq = await poison(redis, shard, name, value)
    later = await sell(engine, shard)
    await run_until_done(persister, database, redis, shard)
    rows = await database.fetch("SELECT id, status FROM bookings WHERE shard = $1", shard)
    assert bookings | later == {row["id"]: row["status"] for row in rows}
    (held,) = await quarantine.rows_of(database, shard)
    assert (shard, 1, seq, "held") == (held.shard, held.epoch, held.seq, held.state)
    assert (b"other x" if record is None else record.encode()) == held.record
    row = await reigns.read(database, shard)
    assert row is not None
    assert "frozen" == row.state
    assert f"record {seq} of epoch 1 cannot be persisted" in row.reason
    assert b"frozen" == await ask(redis, "HGET", keys.meta(shard), "state")
    with pytest.raises(ShardRecovering):
        await engine.book(shard, order(new_id("evt"), users(1)[0], (1, 1)))


async def test_f9_flipped_bit_is_parked(
    persister: Persister, database: asyncpg.Pool, redis: Redis, shard: int, bookings: dict[str, str]
) -> None:
    """F9: of a script call whose text has one flipped bit, the one record it is in is parked."""
    log = keys.journal(shard, 1)
    rows = await ask(redis, "XRANGE", log, "-", "+")
    assert any(len(read_entries(*row)) > 2 for row in rows)
    await ask(redis, "DEL", log)
    spoilt = ""
    for entry_id, fields in rows:
        text = fields[b"records"]
        lines = text.split(b"\n")
        if not spoilt and len(lines) > 2:
            spoilt = read_entries(entry_id, fields)[1].record.booking_id  # type: ignore[union-attr]
            at = len(lines[0]) + 1 + lines[1].index(b"bk_") + 9
            text = text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]
        await ask(redis, "XADD", log, entry_id, "records", text)
    await run_until_done(persister, database, redis, shard)
    (held,) = await quarantine.rows_of(database, shard)
    assert "fails its check" in held.reason
    rows_ = await database.fetch("SELECT id FROM bookings WHERE shard = $1", shard)
    assert bookings.keys() - {spoilt} == {row["id"] for row in rows_}
    assert b"frozen" == await ask(redis, "HGET", keys.meta(shard), "state")


async def test_f28_frozen_shard_is_drained_and_stays_shut(
    persister: Persister,
    coordinator: Coordinator,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
) -> None:
    """F28: killed between the freezing commit and its note, the next persister shuts the door."""
    await database.execute("UPDATE shard_epoch SET state = 'frozen' WHERE shard = $1", shard)
    assert b"open" == await ask(redis, "HGET", keys.meta(shard), "state")
    await run_until_done(persister, database, redis, shard)
    await check_persisted(database, redis, shard, bookings)
    assert b"frozen" == await ask(redis, "HGET", keys.meta(shard), "state")
    with pytest.raises(CannotOpen, match="frozen"):
        await coordinator.recover()


async def test_f28_coordinator_shuts_a_frozen_shard(
    coordinator: Coordinator, engine: Engine, database: asyncpg.Pool, redis: Redis, shard: int
) -> None:
    """I17: a frozen row shuts the doors of workers though no persister is there to tell them."""
    await database.execute("UPDATE shard_epoch SET state = 'frozen' WHERE shard = $1", shard)
    with pytest.raises(CannotOpen, match="frozen"):
        await coordinator.recover()
    assert b"frozen" == await ask(redis, "HGET", keys.meta(shard), "state")
    with pytest.raises(ShardRecovering):
        await engine.book(shard, order(new_id("evt"), users(1)[0], (1, 1)))


async def test_f29_conflict_freezes_the_shard(
    persister: Persister, database: asyncpg.Pool, redis: Redis, shard: int, bookings: dict[str, str]
) -> None:
    """F29: a booking that another record made stands once; the rival is kept, and sales stop."""
    rival, *others = bookings
    await database.execute(
        "INSERT INTO bookings (id, event_id, user_id, status, version, total_minor, shard, epoch,"
        " seq, created_at, fingerprint) SELECT $1, $2, 'usr', 'confirmed', 1, 0, $3, 99, 1, now(),"
        " 'f'",
        rival,
        (await journal(redis, shard))[0].record.event_id,
        shard,
    )
    await run_until_done(persister, database, redis, shard)
    (conflict,) = await quarantine.conflicts(database, shard)
    assert rival in conflict.record
    rows = await database.fetch("SELECT id FROM bookings WHERE shard = $1 AND epoch = 1", shard)
    assert set(others) == {row["id"] for row in rows}
    assert b"frozen" == await ask(redis, "HGET", keys.meta(shard), "state")


async def test_f32_lost_stream_is_told_and_not_made_anew(
    persister: Persister,
    coordinator: Coordinator,
    engine: Engine,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
) -> None:
    """F32: a journal that is gone shuts the shard, nothing is made in its place, recovery acts."""
    await ask(redis, "DEL", keys.journal(shard, 1))
    with pytest.raises(ledger.JournalGap):
        await persister._follow_one_reign()
    assert b"lost" == await ask(redis, "HGET", keys.meta(shard), "state")
    assert 0 == await ask(redis, "EXISTS", keys.journal(shard, 1))
    with pytest.raises(ShardRecovering):
        await engine.book(shard, order(new_id("evt"), users(1)[0], (1, 1)))
    assert not await coordinator.is_well()
    assert 0 == await checkpoint(database, shard)
    assert bookings


async def test_lag_is_told(
    persister: Persister, database: asyncpg.Pool, redis: Redis, shard: int, bookings: dict[str, str]
) -> None:
    """Records, bytes and age of what PostgreSQL lacks are told, and are nothing at the end."""
    entries = await journal(redis, shard)
    lag = await observe(redis, shard)
    assert (1, len(entries), len(entries)) == (lag.epoch, lag.seq, lag.records)
    assert sum(len(entry.raw) + 1 for entry in entries) == lag.bytes
    now_s, _ = await redis.time()
    assert 0 <= lag.seconds <= now_s + 1 - entries[0].record.at_ms / 1000
    await run_until_done(persister, database, redis, shard)
    lag = await observe(redis, shard)
    assert (len(entries), 0, 0, 0) == (lag.seq, lag.records, lag.bytes, lag.seconds)
    assert 0 == metrics.CONSISTENCY_LAG_SECONDS.labels(str(shard))._value.get()
    assert bookings


async def test_outbox_has_what_is_to_be_told(
    persister: Persister, database: asyncpg.Pool, redis: Redis, shard: int, bookings: dict[str, str]
) -> None:
    """I19: each booking and each cancellation is told once, however the archive is read."""
    await run_until_done(persister, database, redis, shard)
    whole = await outbox.read(database, shard=shard, epoch=1, after_seq=0)
    for seq in range(whole.last_seq + 1):  # From any record on, be it within a batch.
        rest = await outbox.read(database, shard=shard, epoch=1, after_seq=seq, batches_max=1_000)
        assert [one for one in whole.notices if one.seq > seq] == rest.notices
    told = Counter((one.kind, one.subject_id) for one in whole.notices if one.user_id)
    expected = Counter(("booking.confirmed", own_id) for own_id in bookings) + Counter(
        ("booking.cancelled", own_id)
        for own_id, status in bookings.items()
        if status == "cancelled"
    )
    assert expected == told


async def take_out(redis: Redis, log: str, seq: int) -> None:
    """Take one record out of the journal, leaving those around it as entries of their own."""
    rows = await ask(redis, "XRANGE", log, "-", "+")
    await ask(redis, "DEL", log)
    for row in rows:
        for entry in read_entries(*row):
            if entry.seq != seq:
                await ask(redis, "XADD", log, f"{entry.seq}-1", "records", frame([entry.raw]))


async def run_until_failures(persister: Persister, shard: int, kind: str) -> None:
    """Run until it has failed, backed off and failed again."""
    failures = metrics.FAILURES.labels(str(shard), kind)
    async with running(persister) as task:
        while failures._value.get() < 3:
            assert not task.done()
            await asyncio.sleep(0)


async def test_f33_follows_into_the_next_reign(
    persister: Persister,
    coordinator: Coordinator,
    valkey: ValkeyServer,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
) -> None:
    """F33: after a recovery it follows the new journal, whose records count from 1 again."""
    async with running(persister) as task:
        await reach(task, database, shard, 1)
        assert 2 == await coordinator.recover()
        row = await reigns.read(database, shard)
        assert row is not None
        reign = Reign(shard=shard, epoch=2, script_shas=scripts.shas(row.nonce))
        engine = await start_engine(connect(valkey.url, timeout_ms=TIMEOUT_MS), reign)
        later = await sell(engine, shard)
        await engine.stop(timeout_s=5)
        await reach(task, database, shard, await last_seq(redis, shard), epoch=2)
    rows = await database.fetch("SELECT id, status FROM bookings WHERE shard = $1", shard)
    assert bookings | later == {row["id"]: row["status"] for row in rows}


async def test_waits_for_a_shard_to_open(
    persister: Persister,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the shard is recovered nothing is written; run() keeps asking and does not die."""
    await database.execute("UPDATE shard_epoch SET state = 'recovering' WHERE shard = $1", shard)
    with pytest.raises(module.NotOpen, match="the shard is not open"):
        await persister._follow_one_reign()
    waits = 0

    async def count(point: str, _: asyncpg.Connection) -> None:
        nonlocal waits
        waits += point.startswith("before SELECT pg_try_advisory_lock")

    faults.install(monkeypatch, count)
    async with running(persister) as task:
        while waits < 3:
            assert not task.done()
            await asyncio.sleep(0)
        assert 0 == await checkpoint(database, shard)
        await database.execute("UPDATE shard_epoch SET state = 'open' WHERE shard = $1", shard)
        await reach(task, database, shard, await last_seq(redis, shard))
    await check_persisted(database, redis, shard, bookings)


async def cancel(task: asyncio.Task[None]) -> None:
    """Own a task and wait for its end."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
