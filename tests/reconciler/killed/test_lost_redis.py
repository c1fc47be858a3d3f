"""Redis killed, cut, emptied, replaced by a stale copy: what was acknowledged is there again."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine import keys
from engine.errors import ShardRecovering
from engine.ids import new_id
from engine.outcomes import Booked
from engine.receipts import Sealer, derive_key, key_id
from engine.records import Booked as BookedRecord
from engine.records import Detail, encode, read_entries
from engine.redis_client import connect as connect_redis
from evently.embedded import ValkeyServer
from reconciler.recover import coordinator as recovery
from reconciler.recover.coordinator import Coordinator
from reconciler.recover.receipts import provider
from store import redo, reigns
from tests.checks import ask, make_booking_id
from tests.conftest import TIMEOUT_MS
from tests.reconciler.conftest import BoxOffice
from tests.reconciler.recovering import (
    assert_shut_then_open,
    bookings,
    content,
    coordinating,
    log_of,
    recover,
    restart,
    sell,
    until_equal,
)

BOOKINGS = 12
PERSISTED = 8


def receipts_of(acked: dict[str, Booked], path: Path) -> dict[bytes, bytes]:
    """Write the receipts of what was acknowledged to a file; return the keys that verify them."""
    key = derive_key("s" * 43)
    public = key.public_key().public_bytes_raw()
    sealer = Sealer(key.sign, public)
    batches = [(own, outcome.batch) for own, outcome in acked.items() if outcome.batch is not None]
    path.write_text("\n".join(sealer.receipt(batch, own) for own, batch in batches))
    return {key_id(public): public}


async def test_f4_restart_with_its_log(office: BoxOffice, valkey: ValkeyServer) -> None:
    """F4, I17: killed and started again with its log, Redis has all, holds too, and reopens."""
    event = await office.add_event()
    acked = await sell(office, event, BOOKINGS)
    before = await content(office)
    valkey.kill()
    await restart(office, valkey)
    with pytest.raises(ShardRecovering):
        await sell(office, event, 1)

    one = await recover(office)

    assert one.recovered is not None
    assert "keep" == one.recovered.path.name
    assert before == await content(office)
    assert acked.keys() == (await bookings(office, event)).keys()


@pytest.mark.slow
async def test_f5_cut_logs(office: BoxOffice, valkey: ValkeyServer) -> None:
    """F5, I4: wherever the log is cut, all that PostgreSQL or the log has is there afterwards."""
    event = await office.add_event()
    acked = await sell(office, event, PERSISTED)
    assert 1 + PERSISTED == await office.drain()
    acked |= await sell(office, event, BOOKINGS - PERSISTED)
    valkey.kill()
    original = log_of(valkey).read_bytes()
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
        log_of(valkey).write_bytes(original[:size])
        await restart(office, valkey)
        meta = await ask(office.redis, "HMGET", keys.meta(office.shard), "epoch", "seq")
        if meta[0] is not None:
            known = max(known, int(meta[1]) - 1)

        await recover(office)

        found = await bookings(office, event)
        assert {
            key: (1, outcome.seq) for key, outcome in acked.items() if outcome.seq <= known + 1
        } == found
        result = await office.check()
        assert ([], []) == (result.violations, result.errors)
        valkey.kill()
        shutil.rmtree(valkey.directory / "appendonlydir")
        valkey.start()  # Makes the files anew, under the same names.
        valkey.kill()
    assert len(acked) == known


async def test_f5_workers_remember(office: BoxOffice, valkey: ValkeyServer) -> None:
    """F5, I4, I6: what neither PostgreSQL nor the cut log has, workers bring back in its place."""
    event = await office.add_event()
    acked = await sell(office, event, PERSISTED)
    await office.drain()
    acked |= await sell(office, event, BOOKINGS - PERSISTED)
    rows = await ask(office.redis, "XRANGE", office.journal, f"({PERSISTED + 2}-1", "+")
    memory = [
        redo.Row(1, entry.seq, entry.raw.decode()) for row in rows for entry in read_entries(*row)
    ]
    valkey.kill()
    log = log_of(valkey).read_bytes()
    log_of(valkey).write_bytes(log[: len(log) // 2])
    await restart(office, valkey)
    with pytest.raises(ShardRecovering):
        await sell(office, event, 1)
    await redo.write(office.database, shard=office.shard, worker="w", rows=memory)

    one = await recover(office)

    assert one.recovered is not None
    assert ("rebuild", len(memory), 1) == (
        one.recovered.path.name,
        one.recovered.merged.found,
        one.recovered.merged.lost,
    )
    found = await bookings(office, event)
    assert {
        key: (1, outcome.seq) for key, outcome in acked.items() if outcome.seq != PERSISTED + 2
    } == found
    assert ([], []) == ((result := await office.check()).violations, result.errors)


@pytest.mark.parametrize("how", ["wiped", "flushed", "meta deleted"])
async def test_f6_f13_emptied(office: BoxOffice, valkey: ValkeyServer, how: str) -> None:
    """F6, F13: Redis without its disk, flushed, or without its door is shut until rebuilt."""
    event = await office.add_event()
    acked = await sell(office, event, BOOKINGS)
    if how != "meta deleted":
        await office.drain()
    if how == "wiped":
        valkey.kill()
        shutil.rmtree(valkey.directory)
        await restart(office, valkey)
    elif how == "flushed":
        await office.redis.flushall()
    else:
        await office.redis.delete(keys.meta(office.shard))

    await assert_shut_then_open(office, event)

    found = await bookings(office, event)
    assert {key: (1, outcome.seq) for key, outcome in acked.items()} == {
        key: place for key, place in found.items() if key in acked
    }
    assert len(found) == len(acked) + 1
    assert set() == await office.codes()


@pytest.mark.parametrize("is_empty", [False, True])
async def test_f10_f14_stale_copy(
    office: BoxOffice, valkey: ValkeyServer, server_dir: Path, is_empty: bool
) -> None:
    """F10, F14: a replica that fell behind, or was emptied with its primary, is rebuilt."""
    event = await office.add_event()
    acked = await sell(office, event, 2)
    replica = ValkeyServer(
        Path(tempfile.mkdtemp(dir=server_dir)), settings={"replicaof": f"127.0.0.1 {valkey.port}"}
    )
    replica.start()
    copy = connect_redis(replica.url, timeout_ms=TIMEOUT_MS)
    try:
        await until_equal(office, copy)
        if is_empty:
            await office.drain()
            await office.redis.flushall()
            await until_equal(office, copy)
            await ask(copy, "REPLICAOF", "NO", "ONE")
        else:
            await ask(copy, "REPLICAOF", "NO", "ONE")
            acked |= await sell(office, event, BOOKINGS)
            await office.drain()
        valkey.kill()
        promoted = BoxOffice(
            shard=office.shard,
            redis=copy,
            database=office.database,
            engine=office.engine,
            redis_url=replica.url,
            database_url=office.database_url,
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


async def test_f41_coordinators_that_die(office: BoxOffice, valkey: ValkeyServer) -> None:
    """F41: coordinators at once, ended at random: one epoch in the end, and all is there."""
    event = await office.add_event()
    acked = await sell(office, event, BOOKINGS)
    await office.drain()
    before = await content(office)
    chance = random.Random(41)
    for _ in range(4):
        await office.redis.flushall()

        async def run() -> None:
            async with coordinating(office.shard, office.redis, office.database_url) as one:
                await one.recover()

        tasks = [asyncio.create_task(run()) for _ in range(3)]
        for task in tasks:
            await asyncio.sleep(chance.random() * 0.5)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await office.database.execute(
            "UPDATE shard_epoch SET lease_until = now() WHERE shard = $1", office.shard
        )
    async with coordinating(office.shard, office.redis, office.database_url) as last:
        if not await last.is_well():
            await last.recover()
        assert await last.is_well()

    assert before == await content(office)
    assert acked.keys() == (await bookings(office, event)).keys()
    assert set() == await office.codes()


async def test_f53_a_recovery_that_was_killed_is_begun_anew_at_once(
    office: BoxOffice, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F53: a coordinator killed in mid-recovery costs no lease: the next one goes on at once."""
    event = await office.add_event()
    acked = await sell(office, event, BOOKINGS)
    valkey.kill()
    await restart(office, valkey)
    monkeypatch.setattr(reigns, "CLAIM_LEASE", dt.timedelta(hours=1))
    with monkeypatch.context() as patch:
        patch.setattr(recovery, "REDO_GRACE_S", 3600.0)
        async with coordinating(office.shard, office.redis, office.database_url) as dead:
            recovering = asyncio.create_task(dead.recover())
            while (  # noqa: ASYNC110
                row := await reigns.read(office.database, office.shard)
            ) is None or row.epoch < 2:
                await asyncio.sleep(0.01)
            async with coordinating(office.shard, office.redis, office.database_url) as hasty:
                assert await hasty.recover() is None
    recovering.cancel()
    await asyncio.gather(recovering, return_exceptions=True)

    async with coordinating(office.shard, office.redis, office.database_url) as last:
        while (epoch := await last.recover()) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert 3 == epoch
    assert acked.keys() == (await bookings(office, event)).keys()


async def test_f6_receipts_bring_back_what_nobody_else_knows(
    office: BoxOffice, valkey: ValkeyServer, tmp_path: Path
) -> None:
    """F6, I4: Redis empty, every worker gone: what buyers can prove is there again, once."""
    event = await office.add_event()
    acked = await sell(office, event, PERSISTED)
    await office.drain_all()
    acked |= await sell(office, event, BOOKINGS - PERSISTED)
    path = tmp_path / "receipts"
    keys_of = receipts_of(acked, path)
    with path.open("a") as file:
        file.write("\nnot.a-receipt\n")
    refused: list[int] = []
    provide = provider(path, keys_of, lambda number, why: refused.append(number))
    await ask(office.redis, "FLUSHALL")

    await recover(office, more_records=provide)

    assert [BOOKINGS + 1] == refused
    rows = await office.database.fetch(
        "SELECT id, epoch, seq FROM bookings WHERE event_id = $1", event.event_id
    )
    assert {own: (one.epoch, one.seq) for own, one in acked.items()} == {
        row["id"]: (row["epoch"], row["seq"]) for row in rows
    }
    assert set(acked) == set(await bookings(office, event))
    assert 0 == await office.database.fetchval(
        "SELECT count(*) FROM conflicts WHERE shard = $1", office.shard
    )


async def test_receipts_beside_what_workers_know(office: BoxOffice, tmp_path: Path) -> None:
    """A worker's record of the same booking is the better one, and no conflict with its receipt."""
    event = await office.add_event()
    await office.drain_all()
    acked = await sell(office, event, 3)
    path = tmp_path / "receipts"
    provide = provider(path, receipts_of(acked, path), lambda number, why: None)
    told = list(await provide(office.shard))[:2]
    richer = []
    for row in told:
        record = row.decoded
        assert isinstance(record, BookedRecord)
        record = msgspec.structs.replace(record, detail=Detail(special_requests="aisle"))
        richer.append(redo.Row(row.epoch, row.seq, encode(record).decode()))
    await redo.write(office.database, shard=office.shard, worker="w", rows=richer)
    await ask(office.redis, "FLUSHALL")

    await recover(office, more_records=provide)

    rows = await office.database.fetch(
        "SELECT seq, special_requests FROM bookings WHERE event_id = $1 ORDER BY seq",
        event.event_id,
    )
    assert ["aisle", "aisle", None] == [row["special_requests"] for row in rows]
    assert 0 == await office.database.fetchval(
        "SELECT count(*) FROM conflicts WHERE shard = $1", office.shard
    )


async def test_f5_merged_by_a_recovery_that_died(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F5, I1: what one recovery brought into PostgreSQL, the next one loads into Redis."""
    event = await office.add_event()
    await sell(office, event, PERSISTED)
    await office.drain_all()
    rows = await ask(office.redis, "XRANGE", office.journal, "-", "+")
    last = [entry for row in rows for entry in read_entries(*row)][-1]
    assert isinstance(last.record, BookedRecord)
    await recover(office)
    user = new_id("usr")
    own = make_booking_id(event.event_id, user, "k")
    late = msgspec.structs.replace(last.record, booking_id=own, user_id=user)
    late_row = redo.Row(1, last.seq + 1, encode(late).decode())
    await redo.write(office.database, shard=office.shard, worker="w", rows=[late_row])

    async def die(*_: Any) -> None:
        raise ConnectionError("Redis is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Coordinator, "_rebuild", die)
        with pytest.raises(ConnectionError):
            await recover(office)
    assert not await redo.has_rows(office.database, office.shard)
    assert own not in await bookings(office, event)
    one = await recover(office)

    assert one.recovered is not None
    assert ("rebuild", 0) == (one.recovered.path.name, one.recovered.merged.found)
    assert own in await bookings(office, event)
    row = await reigns.read(office.database, office.shard)
    assert row is not None
    assert not row.has_merged
    assert set() == await office.codes()
