"""Redis killed, cut, emptied, replaced by a stale copy: what was acknowledged is there again."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from redis.asyncio import Redis

from engine import keys
from engine.commands import Order, TierStock
from engine.errors import ShardRecovering
from engine.ids import new_id
from engine.outcomes import Booked
from engine.receipts import Sealer, derive_key, key_id
from engine.records import Booked as BookedRecord
from engine.records import Detail, encode, read_entries
from engine.redis_client import connect as connect_redis
from engine.redo import Horizon, Redo, RedoBuffer
from evently.embedded import PostgresServer, ValkeyServer
from loadtests.server import free_port
from reconciler.recover.coordinator import Coordinator
from reconciler.recover.receipts import provider
from store import redo, reigns
from tests.checks import Tier, ask, make_booking_id, snapshot, stock
from tests.conftest import TIMEOUT_MS
from tests.reconciler.conftest import DETAIL, BoxOffice, Shown
from tests.reconciler.recovering import content, coordinating, engine_of, opened, recover, wait_open

BOOKINGS = 12
PERSISTED = 8


@contextlib.contextmanager
def start_own(server_dir: Path) -> Iterator[ValkeyServer]:
    """Run a Valkey for one test; it also listens on a port, for a replica."""
    server = ValkeyServer(Path(tempfile.mkdtemp(dir=server_dir)), port=free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_valkey(server_dir: Path) -> Iterator[ValkeyServer]:
    """Run a Valkey that the test may kill."""
    with start_own(server_dir) as server:
        yield server


@pytest.fixture
async def own_office(
    shard: int, own_valkey: ValkeyServer, postgres: PostgresServer, database: asyncpg.Pool
) -> AsyncIterator[BoxOffice]:
    """Open a shard on the test's own Valkey."""
    async with opened(shard, own_valkey, postgres, database) as office:
        yield office


def receipts_of(acked: dict[str, Booked], path: Path) -> dict[bytes, bytes]:
    """Write the receipts of what was acknowledged to a file; return the keys that verify them."""
    key = derive_key("s" * 43)
    public = key.public_key().public_bytes_raw()
    sealer = Sealer(key.sign, public)
    batches = [(own, outcome.batch) for own, outcome in acked.items() if outcome.batch is not None]
    path.write_text("\n".join(sealer.receipt(batch, own) for own, batch in batches))
    return {key_id(public): public}


async def sell(office: BoxOffice, event: Shown, count: int) -> dict[str, Booked]:
    """Book, one after another; return what was acknowledged."""
    acked: dict[str, Booked] = {}
    for _ in range(count):
        user = new_id("usr")
        own = make_booking_id(event.event_id, user, "k")
        order = Order(event.event_id, own, user, "print", DETAIL, ((1, 1), (2, 2)))
        outcome = await office.engine.book(office.shard, order)
        assert isinstance(outcome, Booked)
        acked[own] = outcome
    return acked


async def bookings(office: BoxOffice, event: Shown) -> dict[str, tuple[int, int]]:
    """Return the places in the journal of all bookings that Redis has."""
    rows = await ask(office.redis, "HGETALL", keys.event(office.shard, event.event_id).bookings)
    return {key.decode(): (int(row.split()[2]), int(row.split()[3])) for key, row in rows.items()}


def log_of(server: ValkeyServer) -> Path:
    """Return the log of a stopped server that is written last."""
    return max(server.directory.glob("appendonlydir/*.incr.aof"))


async def until_equal(office: BoxOffice, copy: Redis) -> None:
    """Wait until a replica has all that its primary has of the shard."""
    while True:
        if await snapshot(copy, office.shard) == await snapshot(office.redis, office.shard):
            return
        await asyncio.sleep(0.02)


async def restart(office: BoxOffice, server: ValkeyServer) -> None:
    """Start a killed Redis, and forget connections to the dead one."""
    server.start()
    await office.redis.connection_pool.disconnect()


async def assert_shut_then_open(office: BoxOffice, event: Shown) -> None:
    """I17: nothing is sold before the recovery, and everything after it."""
    with pytest.raises(ShardRecovering):
        await sell(office, event, 1)
    await recover(office)
    row = await reigns.read(office.database, office.shard)
    assert row is not None
    await wait_open(office.engine, office.shard, epoch=row.epoch)
    await sell(office, event, 1)


async def test_f4_restart_with_its_log(own_office: BoxOffice, own_valkey: ValkeyServer) -> None:
    """F4, I17: killed and started again with its log, Redis has all, holds too, and reopens."""
    event = await own_office.add_event()
    acked = await sell(own_office, event, BOOKINGS)
    before = await content(own_office)
    own_valkey.kill()
    await restart(own_office, own_valkey)
    with pytest.raises(ShardRecovering):
        await sell(own_office, event, 1)

    one = await recover(own_office)

    assert one.recovered is not None
    assert "keep" == one.recovered.path.name
    assert before == await content(own_office)
    assert acked.keys() == (await bookings(own_office, event)).keys()


async def test_f5_cut_logs(own_office: BoxOffice, own_valkey: ValkeyServer) -> None:
    """F5, I4: wherever the log is cut, all that PostgreSQL or the log has is there afterwards."""
    event = await own_office.add_event()
    acked = await sell(own_office, event, PERSISTED)
    assert 1 + PERSISTED == await own_office.drain()
    acked |= await sell(own_office, event, BOOKINGS - PERSISTED)
    own_valkey.kill()
    original = log_of(own_valkey).read_bytes()
    spread = random.Random(5)
    sizes = sorted(
        {
            0,
            len(original),
            *(spread.randrange(len(original)) for _ in range(5)),
            *(len(original) - spread.randrange(1, 400) for _ in range(3)),
        }
    )
    known = PERSISTED
    for size in sizes:
        log_of(own_valkey).write_bytes(original[:size])
        await restart(own_office, own_valkey)
        meta = await ask(own_office.redis, "HMGET", keys.meta(own_office.shard), "epoch", "seq")
        if meta[0] is not None:
            known = max(known, int(meta[1]) - 1)

        await recover(own_office)

        found = await bookings(own_office, event)
        assert {
            key: (1, outcome.seq) for key, outcome in acked.items() if outcome.seq <= known + 1
        } == found
        result = await own_office.check()
        assert ([], []) == (result.violations, result.errors)
        own_valkey.kill()
        shutil.rmtree(own_valkey.directory / "appendonlydir")
        own_valkey.start()  # Makes the files anew, under the same names.
        own_valkey.kill()
    assert len(acked) == known


async def test_f5_workers_remember(own_office: BoxOffice, own_valkey: ValkeyServer) -> None:
    """F5, I4, I6: what neither PostgreSQL nor the cut log has, workers bring back in its place."""
    event = await own_office.add_event()
    acked = await sell(own_office, event, PERSISTED)
    await own_office.drain()
    acked |= await sell(own_office, event, BOOKINGS - PERSISTED)
    rows = await ask(own_office.redis, "XRANGE", own_office.journal, f"({PERSISTED + 2}-1", "+")
    memory = [
        redo.Row(1, entry.seq, entry.raw.decode()) for row in rows for entry in read_entries(*row)
    ]
    own_valkey.kill()
    log = log_of(own_valkey).read_bytes()
    log_of(own_valkey).write_bytes(log[: len(log) // 2])
    await restart(own_office, own_valkey)
    with pytest.raises(ShardRecovering):
        await sell(own_office, event, 1)
    await redo.write(own_office.database, shard=own_office.shard, worker="w", rows=memory)

    one = await recover(own_office)

    assert one.recovered is not None
    assert ("rebuild", len(memory), 1) == (
        one.recovered.path.name,
        one.recovered.merged.found,
        one.recovered.merged.lost,
    )
    found = await bookings(own_office, event)
    assert {
        key: (1, outcome.seq) for key, outcome in acked.items() if outcome.seq != PERSISTED + 2
    } == found
    assert ([], []) == ((result := await own_office.check()).violations, result.errors)


@pytest.mark.parametrize("how", ["wiped", "flushed", "meta deleted"])
async def test_f6_f13_emptied(own_office: BoxOffice, own_valkey: ValkeyServer, how: str) -> None:
    """F6, F13: Redis without its disk, flushed, or without its door is shut until rebuilt."""
    event = await own_office.add_event()
    acked = await sell(own_office, event, BOOKINGS)
    if how != "meta deleted":
        await own_office.drain()
    if how == "wiped":
        own_valkey.kill()
        shutil.rmtree(own_valkey.directory)
        await restart(own_office, own_valkey)
    elif how == "flushed":
        await own_office.redis.flushall()
    else:
        await own_office.redis.delete(keys.meta(own_office.shard))

    await assert_shut_then_open(own_office, event)

    found = await bookings(own_office, event)
    assert {key: (1, outcome.seq) for key, outcome in acked.items()} == {
        key: place for key, place in found.items() if key in acked
    }
    assert len(found) == len(acked) + 1
    assert [] == (await own_office.check()).violations


@pytest.mark.parametrize("is_empty", [False, True])
async def test_f10_f14_stale_copy(
    own_office: BoxOffice, own_valkey: ValkeyServer, server_dir: Path, is_empty: bool
) -> None:
    """F10, F14: a replica that fell behind, or was emptied with its primary, is rebuilt."""
    event = await own_office.add_event()
    acked = await sell(own_office, event, 2)
    replica = ValkeyServer(
        Path(tempfile.mkdtemp(dir=server_dir)),
        settings={"replicaof": f"127.0.0.1 {own_valkey.port}"},
    )
    replica.start()
    copy = connect_redis(replica.url, timeout_ms=TIMEOUT_MS)
    try:
        await until_equal(own_office, copy)
        if is_empty:
            await own_office.drain()
            await own_office.redis.flushall()
            await until_equal(own_office, copy)
            await ask(copy, "REPLICAOF", "NO", "ONE")
        else:
            await ask(copy, "REPLICAOF", "NO", "ONE")
            acked |= await sell(own_office, event, BOOKINGS)
            await own_office.drain()
        own_valkey.kill()
        promoted = BoxOffice(
            shard=own_office.shard,
            redis=copy,
            database=own_office.database,
            engine=own_office.engine,
            redis_url=replica.url,
            database_url=own_office.database_url,
        )

        one = await recover(promoted)

        assert one.recovered is not None
        assert "rebuild" == one.recovered.path.name
        assert {key: (1, outcome.seq) for key, outcome in acked.items()} == await bookings(
            promoted, event
        )
        assert [] == (await promoted.check()).violations
    finally:
        await copy.aclose()
        replica.stop()


async def test_f11_journal_that_went_on_in_an_old_epoch(
    own_office: BoxOffice, own_valkey: ValkeyServer
) -> None:
    """F11: bookings of a Redis that went on after its epoch was over join, or are conflicts."""
    event = await own_office.add_event()
    await sell(own_office, event, 1)
    await own_office.drain()
    acked = await sell(own_office, event, 2)
    # Somewhere else the shard was opened under epoch 2, and sold what only two can have.
    async with own_office.database.acquire() as connection:
        await connection.execute(
            "UPDATE shard_epoch SET epoch = 2 WHERE shard = $1", own_office.shard
        )
        await connection.execute(
            "INSERT INTO shard_checkpoint (shard, epoch, last_seq) VALUES ($1, 2, 1)",
            own_office.shard,
        )
        await connection.execute(
            "UPDATE tiers SET capacity = 5 WHERE event_id = $1 AND tier_no = 2", event.event_id
        )

    async with (
        coordinating(own_office.shard, own_office.redis, own_office.database_url) as one,
        own_office.database.acquire() as connection,
    ):
        with pytest.raises(Exception, match="frozen"):
            await one.recover()  # The capacity was changed behind the journal's back.
        rows = await connection.fetch(
            "SELECT seq, reason FROM conflicts WHERE shard = $1", own_office.shard
        )
        kept = await connection.fetch(
            "SELECT seq FROM bookings WHERE event_id = $1 ORDER BY seq", event.event_id
        )

    seqs: Sequence[Any] = sorted(outcome.seq for outcome in acked.values())
    assert [(seqs[1], "tier 2 has 1 places left")] == [tuple(row) for row in rows]
    assert [2, seqs[0]] == [row["seq"] for row in kept]


async def test_f11_split_brain(
    own_office: BoxOffice, own_valkey: ValkeyServer, database: asyncpg.Pool, server_dir: Path
) -> None:
    """F11, I3, I4: of what workers sold on both sides all is there, but for a place sold twice."""
    event = await own_office.add_event(tiers=(TierStock(500, 100, 10), TierStock(1, 100, 10)))
    async with (
        following(own_office, own_valkey.port, server_dir) as (copy, url),
        remembering(own_office, own_valkey.url, epoch=2) as old_side,
    ):
        acked = await sell_last(old_side, event, 2, 0)
        await until_equal(own_office, copy)
        await ask(copy, "REPLICAOF", "NO", "ONE")
        promoted = dataclasses.replace(own_office, redis=copy, redis_url=url)
        await recover(promoted)
        async with remembering(promoted, url, epoch=3) as new_side:
            # The old side hears of nothing: its Redis is what it was.
            acked |= await sell_last(old_side, event, 3, 1)
            acked |= await sell_last(new_side, event, 3, 1)
        async with coordinating(promoted.shard, copy, promoted.database_url) as one:
            while not await redo.has_rows(database, promoted.shard):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            assert not await one.is_well()
            await one.recover()

        found = (await bookings(promoted, event)).keys()
        [refused] = acked.keys() - found
        assert found < acked.keys()
        rows = await database.fetch("SELECT record FROM conflicts WHERE shard = $1", promoted.shard)
        assert [True] == [refused in row["record"] for row in rows]
        tiers = await stock(copy, promoted.shard, event.event_id)
        assert {1: Tier(492, 0, 8), 2: Tier(0, 0, 1)} == tiers
        result = await promoted.check()
        assert {"record_in_conflict"} == {one.code for one in result.violations}


@contextlib.asynccontextmanager
async def remembering(office: BoxOffice, url: str, *, epoch: int) -> AsyncIterator[BoxOffice]:
    """Yield the office with a worker that writes what it remembers once its epoch is over."""
    pool = office.database

    async def horizon(epoch: int) -> Horizon:
        return Horizon(*await reigns.horizon(pool, office.shard, epoch))

    async def write(rows: Sequence[Redo]) -> None:
        own = [redo.Row(*row) for row in rows]
        await redo.write(pool, shard=office.shard, worker=f"of epoch {epoch}", rows=own)

    def make(shard: int) -> RedoBuffer:
        return RedoBuffer(
            shard,
            read_horizon=horizon,
            write=write,
            records_max=100,
            bytes_max=1 << 20,
            on_drop=lambda count: None,
        )

    async with engine_of(url, pool, office.shard, make_redo=make) as engine:
        await wait_open(engine, office.shard, epoch=epoch)
        yield dataclasses.replace(office, engine=engine)


@contextlib.asynccontextmanager
async def following(
    office: BoxOffice, port: int, server_dir: Path
) -> AsyncIterator[tuple[Redis, str]]:
    """Yield a client of a replica, and its URL; the first replica costs the shard its reign."""
    server = ValkeyServer(
        Path(tempfile.mkdtemp(dir=server_dir)), settings={"replicaof": f"127.0.0.1 {port}"}
    )
    server.start()
    copy = connect_redis(server.url, timeout_ms=TIMEOUT_MS)
    try:
        await until_equal(office, copy)
        async with coordinating(office.shard, office.redis, office.database_url) as one:
            assert not await one.is_well()
            assert 2 == await one.recover()
        yield copy, server.url
    finally:
        await copy.aclose()
        server.stop()


async def sell_last(office: BoxOffice, event: Shown, count: int, last: int) -> dict[str, Booked]:
    """Sell *count* places of tier 1, and *last* of tier 2; return what was acknowledged."""
    acked: dict[str, Booked] = {}
    for tier_no in [1] * count + [2] * last:
        user = new_id("usr")
        own = make_booking_id(event.event_id, user, "k")
        order = Order(event.event_id, own, user, "print", DETAIL, ((tier_no, 1),))
        outcome = await office.engine.book(office.shard, order)
        assert isinstance(outcome, Booked)
        acked[own] = outcome
    return acked


async def test_f41_coordinators_that_die(own_office: BoxOffice, own_valkey: ValkeyServer) -> None:
    """F41: coordinators at once, ended at random: one epoch in the end, and all is there."""
    event = await own_office.add_event()
    acked = await sell(own_office, event, BOOKINGS)
    await own_office.drain()
    before = await content(own_office)
    chance = random.Random(41)
    for _ in range(4):
        await own_office.redis.flushall()

        async def run() -> None:
            async with coordinating(
                own_office.shard, own_office.redis, own_office.database_url
            ) as one:
                await one.recover()

        tasks = [asyncio.create_task(run()) for _ in range(3)]
        for task in tasks:
            await asyncio.sleep(chance.random() * 0.5)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await own_office.database.execute(
            "UPDATE shard_epoch SET lease_until = now() WHERE shard = $1", own_office.shard
        )
    async with coordinating(own_office.shard, own_office.redis, own_office.database_url) as last:
        if not await last.is_well():
            await last.recover()
        assert await last.is_well()

    assert before == await content(own_office)
    assert acked.keys() == (await bookings(own_office, event)).keys()
    assert [] == (await own_office.check()).violations


async def test_f6_receipts_bring_back_what_nobody_else_knows(
    own_office: BoxOffice, own_valkey: ValkeyServer, tmp_path: Path
) -> None:
    """F6, I4: Redis empty, every worker gone: what buyers can prove is there again, once."""
    event = await own_office.add_event()
    acked = await sell(own_office, event, PERSISTED)
    while await own_office.drain():
        pass
    acked |= await sell(own_office, event, BOOKINGS - PERSISTED)
    path = tmp_path / "receipts"
    keys_of = receipts_of(acked, path)
    with path.open("a") as file:
        file.write("\nnot.a-receipt\n")
    refused: list[int] = []
    provide = provider(path, keys_of, lambda number, why: refused.append(number))
    await ask(own_office.redis, "FLUSHALL")

    await recover(own_office, more_records=provide)

    assert [BOOKINGS + 1] == refused
    rows = await own_office.database.fetch(
        "SELECT id, epoch, seq FROM bookings WHERE event_id = $1", event.event_id
    )
    assert {own: (one.epoch, one.seq) for own, one in acked.items()} == {
        row["id"]: (row["epoch"], row["seq"]) for row in rows
    }
    assert set(acked) == set(await bookings(own_office, event))
    assert 0 == await own_office.database.fetchval(
        "SELECT count(*) FROM conflicts WHERE shard = $1", own_office.shard
    )


async def test_receipts_beside_what_workers_know(own_office: BoxOffice, tmp_path: Path) -> None:
    """A worker's record of the same booking is the better one, and no conflict with its receipt."""
    event = await own_office.add_event()
    while await own_office.drain():
        pass
    acked = await sell(own_office, event, 3)
    path = tmp_path / "receipts"
    provide = provider(path, receipts_of(acked, path), lambda number, why: None)
    told = list(await provide(own_office.shard))[:2]
    richer = []
    for row in told:
        record = row.decoded
        assert isinstance(record, BookedRecord)
        record = msgspec.structs.replace(record, detail=Detail(special_requests="aisle"))
        richer.append(redo.Row(row.epoch, row.seq, encode(record).decode()))
    await redo.write(own_office.database, shard=own_office.shard, worker="w", rows=richer)
    await ask(own_office.redis, "FLUSHALL")

    await recover(own_office, more_records=provide)

    rows = await own_office.database.fetch(
        "SELECT seq, special_requests FROM bookings WHERE event_id = $1 ORDER BY seq",
        event.event_id,
    )
    assert ["aisle", "aisle", None] == [row["special_requests"] for row in rows]
    assert 0 == await own_office.database.fetchval(
        "SELECT count(*) FROM conflicts WHERE shard = $1", own_office.shard
    )


async def test_f5_merged_by_a_recovery_that_died(
    own_office: BoxOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F5, I1: what one recovery brought into PostgreSQL, the next one loads into Redis."""
    event = await own_office.add_event()
    await sell(own_office, event, PERSISTED)
    while await own_office.drain():
        pass
    rows = await ask(own_office.redis, "XRANGE", own_office.journal, "-", "+")
    last = [entry for row in rows for entry in read_entries(*row)][-1]
    assert isinstance(last.record, BookedRecord)
    await recover(own_office)
    user = new_id("usr")
    own = make_booking_id(event.event_id, user, "k")
    late = msgspec.structs.replace(last.record, booking_id=own, user_id=user)
    late_row = redo.Row(1, last.seq + 1, encode(late).decode())
    await redo.write(own_office.database, shard=own_office.shard, worker="w", rows=[late_row])

    async def die(*_: Any) -> None:
        raise ConnectionError("Redis is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Coordinator, "_rebuild", die)
        with pytest.raises(ConnectionError):
            await recover(own_office)
    assert not await redo.has_rows(own_office.database, own_office.shard)
    assert own not in await bookings(own_office, event)
    one = await recover(own_office)

    assert one.recovered is not None
    assert ("rebuild", 0) == (one.recovered.path.name, one.recovered.merged.found)
    assert own in await bookings(own_office, event)
    row = await reigns.read(own_office.database, own_office.shard)
    assert row is not None
    assert not row.has_merged
    assert [] == (await own_office.check()).violations
