"""Two Redis servers sold at once: an old primary that nobody told, and the one in its place."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from engine.commands import Order, TierStock
from engine.ids import new_id
from engine.outcomes import Booked
from engine.records import Lost, encode
from engine.redis_client import connect as connect_redis
from engine.redo import Horizon, Redo, RedoBuffer
from evently.embedded import ValkeyServer
from store import redo, reigns
from tests.checks import Tier, ask, make_booking_id, stock
from tests.conftest import TIMEOUT_MS
from tests.reconciler.conftest import DETAIL, BoxOffice, Shown
from tests.reconciler.recovering import (
    bookings,
    coordinating,
    engine_of,
    recover,
    sell,
    until_equal,
    wait_open,
)


async def test_f11_journal_that_went_on_in_an_old_epoch(
    office: BoxOffice, valkey: ValkeyServer
) -> None:
    """F11: bookings of a Redis that went on after its epoch was over join, or are conflicts."""
    event = await office.add_event()
    await sell(office, event, 1)
    await office.drain()
    acked = await sell(office, event, 2)
    # Somewhere else the shard was opened under epoch 2, and sold what only two can have.
    async with office.database.acquire() as connection:
        await connection.execute("UPDATE shard_epoch SET epoch = 2 WHERE shard = $1", office.shard)
        await connection.execute(
            "INSERT INTO shard_checkpoint (shard, epoch, last_seq) VALUES ($1, 2, 1)", office.shard
        )
        sold = encode(Lost(version=1, at_ms=1, event_id="", why="unknown")).decode()
        await connection.execute(
            "INSERT INTO journal VALUES ($1, 2, 1, 1, now(), $2)", office.shard, sold
        )
        await connection.execute(
            "UPDATE tiers SET capacity = 5 WHERE event_id = $1 AND tier_no = 2", event.event_id
        )

    async with (
        coordinating(office.shard, office.redis, office.database_url) as one,
        office.database.acquire() as connection,
    ):
        with pytest.raises(Exception, match="frozen"):
            await one.recover()  # The capacity was changed behind the journal's back.
        rows = await connection.fetch(
            "SELECT seq, reason FROM conflicts WHERE shard = $1", office.shard
        )
        kept = await connection.fetch(
            "SELECT seq FROM bookings WHERE event_id = $1 ORDER BY seq", event.event_id
        )

    seqs: Sequence[Any] = sorted(outcome.seq for outcome in acked.values())
    assert [(seqs[1], "tier 2 has 1 places left")] == [tuple(row) for row in rows]
    assert [2, seqs[0]] == [row["seq"] for row in kept]


async def test_f11_split_brain(
    office: BoxOffice, valkey: ValkeyServer, database: asyncpg.Pool, server_dir: Path
) -> None:
    """F11, I3, I4: of what workers sold on both sides all is there, but for a place sold twice."""
    event = await office.add_event(tiers=(TierStock(500, 100, 10), TierStock(1, 100, 10)))
    async with (
        following(office, valkey.port, server_dir) as (copy, url),
        remembering(office, valkey.url, epoch=2) as old_side,
    ):
        acked = await sell_last(old_side, event, 2, 0)
        deaf: Any = old_side.engine.shards[office.shard]._redo
        deaf.on_over = lambda _: None  # It must not learn from PostgreSQL either.
        await until_equal(office, copy)
        await ask(copy, "REPLICAOF", "NO", "ONE")
        promoted = dataclasses.replace(office, redis=copy, redis_url=url)
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
