"""The watermark: many wait, one polls, and nobody is told too early."""

from __future__ import annotations

import asyncio

import asyncpg

from store import ledger, reigns
from store.pool import create_pool
from store.watermark import Watermark
from tests.conftest import TIMEOUT_MS

SHORT_MS = 50


async def set_checkpoint(database: asyncpg.Pool, shard: int, seq: int) -> None:
    """Move the shard's checkpoint, as a persister would."""
    await database.execute(
        "INSERT INTO shard_checkpoint (shard, epoch, last_seq) VALUES ($1, 1, $2) "
        "ON CONFLICT (shard, epoch) DO UPDATE SET last_seq = $2",
        shard,
        seq,
    )


async def test_says_no_while_the_record_is_missing(database: asyncpg.Pool, shard: int) -> None:
    """A record that PostgreSQL does not have is not reached, with or without a checkpoint."""
    watermark = Watermark(database)
    assert not await watermark.reach(shard=shard, epoch=1, seq=0, timeout_ms=SHORT_MS)
    await set_checkpoint(database, shard, 4)
    assert await watermark.reach(shard=shard, epoch=1, seq=4, timeout_ms=TIMEOUT_MS)
    assert not await watermark.reach(shard=shard, epoch=1, seq=5, timeout_ms=SHORT_MS)


async def test_waits_until_the_record_is_there(database: asyncpg.Pool, shard: int) -> None:
    """All waiters at or below the checkpoint are told once it has moved."""
    watermark = Watermark(database)
    await set_checkpoint(database, shard, 0)
    waits = [
        asyncio.create_task(watermark.reach(shard=shard, epoch=1, seq=seq, timeout_ms=TIMEOUT_MS))
        for seq in range(1, 101)
    ]
    await asyncio.sleep(0)
    assert [] == [wait for wait in waits if wait.done()]
    await set_checkpoint(database, shard, 100)
    assert [True] * 100 == await asyncio.gather(*waits)


async def test_another_epoch_does_not_count(database: asyncpg.Pool, shard: int) -> None:
    """The checkpoint of epoch 1 says nothing about epoch 2."""
    watermark = Watermark(database)
    await set_checkpoint(database, shard, 9)
    assert await watermark.reach(shard=shard, epoch=1, seq=9, timeout_ms=TIMEOUT_MS)
    assert not await watermark.reach(shard=shard, epoch=2, seq=1, timeout_ms=SHORT_MS)


async def test_waiters_share_one_poll(
    database: asyncpg.Pool, shard: int, database_url: str
) -> None:
    """A hundred waiters need one connection and one query to learn the same thing."""
    await set_checkpoint(database, shard, 7)
    pool = await create_pool(database_url, connections_max=1, timeout_ms=TIMEOUT_MS)
    watermark = Watermark(pool)
    reads = 0
    read = watermark._read

    async def counted(shard: int, epoch: int) -> tuple[int, bool]:
        nonlocal reads
        reads += 1
        return await read(shard, epoch)

    watermark._read = counted
    waits = (
        watermark.reach(shard=shard, epoch=1, seq=7, timeout_ms=TIMEOUT_MS) for _ in range(100)
    )
    assert [True] * 100 == await asyncio.gather(*waits)
    assert 1 == reads
    await pool.close()


async def test_recovery_checkpoint_proves_nothing(
    database: asyncpg.Pool, shard: int, open_row: None
) -> None:
    """I4: once a coordinator has claimed the shard, a checkpoint that moves is no promise."""
    watermark = Watermark(database)
    await set_checkpoint(database, shard, 4)
    place = {"shard": shard, "epoch": 1}
    assert await watermark.reach_while_open(**place, seq=4, timeout_ms=TIMEOUT_MS)
    waiting = asyncio.create_task(watermark.reach_while_open(**place, seq=5, timeout_ms=TIMEOUT_MS))
    await asyncio.sleep(0)
    row = await reigns.read(database, shard)
    assert 2 == await reigns.claim(database, shard, seen=row, holder="other", nonce="m")
    # What recovery does with a record that nobody knows any more: it passes it.
    await set_checkpoint(database, shard, 5)
    assert not await waiting
    assert not await watermark.reach_while_open(**place, seq=5, timeout_ms=TIMEOUT_MS)
    assert await watermark.reach(**place, seq=5, timeout_ms=TIMEOUT_MS)
    assert await watermark.reach_while_open(**place, seq=4, timeout_ms=TIMEOUT_MS)


async def test_dead_database_is_a_no_and_not_an_error(database_url: str, shard: int) -> None:
    """While PostgreSQL is away the waiter's own deadline decides."""
    pool = await create_pool(database_url, connections_max=1, timeout_ms=TIMEOUT_MS)
    await pool.close()
    watermark = Watermark(pool)
    assert not await watermark.reach(shard=shard, epoch=1, seq=1, timeout_ms=SHORT_MS)


async def test_checkpoint_made_by_the_ledger_is_reached(
    database: asyncpg.Pool, connection: asyncpg.Connection, shard: int
) -> None:
    """A new shard's checkpoint stands at 0, which is reached at once."""
    assert 0 == await ledger.read_checkpoint(connection, shard=shard, epoch=1)
    watermark = Watermark(database)
    assert await watermark.reach(shard=shard, epoch=1, seq=0, timeout_ms=TIMEOUT_MS)
