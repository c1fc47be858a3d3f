"""The persister: every record becomes rows exactly once, wherever it is stopped or doubled."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest
from redis.asyncio import Redis

from engine import keys, scripts
from engine.commands import Own
from engine.door import Reign
from engine.engine import Engine
from engine.errors import CorruptRecord
from engine.ids import new_id
from engine.outcomes import Applied, Booked
from engine.records import read_entries
from engine.redis_client import connect
from evently.embedded import ValkeyServer
from persister import metrics
from persister import persister as module
from persister.persister import Persister
from reconciler.recovery import Coordinator
from store import ledger, reigns
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


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing wait for news or back off for long."""
    monkeypatch.setattr(module, "READ_BLOCK_MS", 20)
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
async def running(persister: Persister) -> AsyncIterator[asyncio.Task[None]]:
    """Run for the length of the block; an error that ends the run is raised at its end."""
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
    async with running(persister) as task:
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


async def test_persists_everything(
    persister: Persister,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
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


async def test_two_persisters(
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
    unlocked = 0

    async def give_back_lock(point: str, connection: asyncpg.Connection) -> None:
        nonlocal unlocked
        if point.startswith("after SELECT pg_try_advisory_lock"):
            unlocked += await connection.fetchval(
                "SELECT pg_advisory_unlock($1, $2)::int", module.LOCK_SPACE, shard
            )

    faults.install(monkeypatch, give_back_lock)
    rival = Persister(blocking_redis, database_url, make_options(shard))
    async with running(rival):
        await run_until_done(persister, database, redis, shard)
    assert unlocked > 1
    await check_persisted(database, redis, shard, bookings)


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
    rival = Persister(blocking_redis, database_url, make_options(shard))
    async with running(persister) as task:
        await reach(task, database, shard, 1)
        with pytest.raises(module.NotOpen, match="another persister has the shard"):
            await rival._follow_one_reign()
    await run_until_done(rival, database, redis, shard)
    await check_persisted(database, redis, shard, bookings)


@pytest.mark.parametrize("fault", [asyncio.CancelledError, ConnectionResetError])
async def test_stops_at_every_point(
    blocking_redis: Redis,
    database_url: str,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    fault: type[BaseException],
) -> None:
    """F25, F26: killed or cut off at the nth point, for each n, then resumed: rows are exact."""
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
        persister = Persister(blocking_redis, database_url, make_options(shard))
        with contextlib.suppress(asyncio.CancelledError):
            await run_until_hit(persister, database, redis, shard)
        if len(points) < number:
            break  # All was written before this point.
    assert "after commit" in points
    assert "before commit" in points
    persister = Persister(blocking_redis, database_url, make_options(shard))
    await run_until_done(persister, database, redis, shard)
    await check_persisted(database, redis, shard, bookings)


async def run_until_hit(
    persister: Persister, database: asyncpg.Pool, redis: Redis, shard: int
) -> None:
    """Run until a fault ends it, or until nothing is left to write."""
    seq = await last_seq(redis, shard)
    async with running(persister) as task:
        while not task.done() and await checkpoint(database, shard) < seq:  # noqa: ASYNC110
            await asyncio.sleep(0)


@pytest.mark.parametrize("moment", ["before commit", "after commit"])
async def test_connection_lost_around_commit(
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


async def test_trims_behind_the_checkpoint(
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
    persister = Persister(blocking_redis, database_url, make_options(shard, retention_s=0))
    await run_until_done(persister, database, redis, shard)
    assert [(done, len(entries) - done) for done, _ in seen] == seen
    assert len(seen) > 3
    assert [] == await journal(redis, shard)
    trimmed = await ask(redis, "HGET", keys.meta(shard), "trimmed_seq")
    assert len(entries) == int(trimmed) == await checkpoint(database, shard)
    rows = await database.fetch("SELECT id, status FROM bookings WHERE shard = $1", shard)
    assert bookings == {row["id"]: row["status"] for row in rows}


async def test_keeps_the_journal_for_its_retention(
    persister: Persister,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
) -> None:
    """Within the retention nothing is trimmed, though PostgreSQL has it all."""
    entries = await journal(redis, shard)
    await run_until_done(persister, database, redis, shard)
    assert entries == await journal(redis, shard)


@pytest.mark.parametrize("lost", [1, 3, -1, 0])
async def test_gap_stops_it(
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
async def test_corrupt_record_stops_it(
    persister: Persister,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
    record: str | None,
) -> None:
    """F9, F28: a record that does not decode is never stepped over, and nothing dies of it."""
    seq = await last_seq(redis, shard)
    field = ("records", record) if record is not None else ("other", "x")
    await ask(redis, "XADD", keys.journal(shard, 1), f"{seq + 1}-1", *field)
    await ask(redis, "HSET", keys.meta(shard), "seq", seq + 1)
    with pytest.raises(CorruptRecord):
        await persister._follow_one_reign()
    assert await checkpoint(database, shard) <= seq
    before = await content(database)
    await run_until_failures(persister, shard, "CorruptRecord")
    assert before == await content(database)


async def take_out(redis: Redis, log: str, seq: int) -> None:
    """Take one record out of the journal, leaving those around it as entries of their own."""
    rows = await ask(redis, "XRANGE", log, "-", "+")
    await ask(redis, "DEL", log)
    for row in rows:
        for entry in read_entries(*row):
            if entry.seq != seq:
                await ask(redis, "XADD", log, f"{entry.seq}-1", "records", entry.raw)


async def run_until_failures(persister: Persister, shard: int, kind: str) -> None:
    """Run until it has failed, backed off and failed again."""
    failures = metrics.FAILURES.labels(str(shard), kind)
    async with running(persister) as task:
        while failures._value.get() < 3:
            assert not task.done()
            await asyncio.sleep(0)


async def test_follows_into_the_next_reign(
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
    """While the shard is frozen nothing is written; run() keeps asking and does not die."""
    await database.execute("UPDATE shard_epoch SET state = 'frozen' WHERE shard = $1", shard)
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
