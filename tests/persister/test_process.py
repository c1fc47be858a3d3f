"""The persister as a process of its own: stopped, overtaken, and continued."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from engine.engine import Engine
from evently.embedded import ValkeyServer
from persister.persister import Persister
from store.pool import connect
from tests.conftest import TIMEOUT_MS
from tests.persister.test_persister import (
    check_persisted,
    checkpoint,
    last_seq,
    run_until_done,
    sell,
)

#: Generous: the machine may be busy with the other tests.
PATIENCE_S = 60
#: Backends that wait for the table that the test has locked.
_WAITING = "SELECT pid FROM pg_locks WHERE relation = 'tickets'::regclass AND NOT granted"


@pytest.fixture
async def blocker(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection that may hold locks."""
    connection = await connect(database_url, timeout_ms=TIMEOUT_MS)
    yield connection
    await connection.close()


@pytest.fixture
async def process(
    valkey: ValkeyServer,
    database_url: str,
    shard: int,
    tmp_path: Path,
    blocker: asyncpg.Connection,
    bookings: dict[str, str],
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a real persister over a sold journal; its first batch waits for the blocker."""
    await blocker.execute("BEGIN; LOCK TABLE tickets IN SHARE MODE")
    assert bookings
    env = {
        "EVENTLY_REDIS_URL": valkey.url,
        "EVENTLY_DATABASE_URL": database_url,
        "EVENTLY_SHARDS": str(shard + 1),
        "EVENTLY_DATA_DIR": str(tmp_path),
        "EVENTLY_DATABASE_TIMEOUT_MS": "60000",
        "EVENTLY_PERSIST_RECORDS_MAX": "7",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "persister",
        "--shard",
        str(shard),
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    yield process
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.fixture
async def bookings(engine: Engine, shard: int) -> dict[str, str]:
    """Sell before anybody persists."""
    return await sell(engine, shard)


@pytest.mark.timeout(3 * PATIENCE_S)
async def test_f27_zombie_is_overtaken(
    process: asyncio.subprocess.Process,
    blocker: asyncpg.Connection,
    persister: Persister,
    engine: Engine,
    database: asyncpg.Pool,
    redis: Redis,
    shard: int,
    bookings: dict[str, str],
) -> None:
    """F27: stopped in mid-batch, overtaken, continued: its batch is void, and it goes on behind."""
    async with asyncio.timeout(PATIENCE_S):
        while (pid := await blocker.fetchval(_WAITING)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    await blocker.execute("ROLLBACK")
    # What PostgreSQL does by itself once the transaction was idle for its time.
    assert await blocker.fetchval("SELECT pg_terminate_backend($1, 10000)", pid)
    assert await checkpoint(database, shard) < await last_seq(redis, shard)
    await run_until_done(persister, database, redis, shard)
    await check_persisted(database, redis, shard, bookings)
    process.send_signal(signal.SIGCONT)
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        while b"persist_failed" not in await process.stdout.readline():
            assert process.returncode is None
    later = await sell(engine, shard)
    seq = await last_seq(redis, shard)
    async with asyncio.timeout(PATIENCE_S):
        while await checkpoint(database, shard) < seq:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await check_persisted(database, redis, shard, bookings | later)
    process.send_signal(signal.SIGTERM)
    assert 0 == await asyncio.wait_for(process.wait(), PATIENCE_S)
