"""A Valkey and a database of the package's own, a shard opened for real, and bookings in it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from engine import scripts
from engine.door import Reign
from engine.engine import Engine
from engine.redis_client import connect
from evently.embedded import PostgresServer, ValkeyServer
from persister.persister import Options, Persister
from reconciler.recover.coordinator import Coordinator
from store import reigns
from store.pool import connect as connect_database
from store.pool import create_pool
from tests.conftest import TIMEOUT_MS, start_engine
from tests.store.databases import migrated_database

BACKLOG_MAX = 100_000
RECORDS_MAX = 7
RETENTION_S = 86_400


@pytest.fixture(scope="package")
def database_url(postgres: PostgresServer) -> str:
    """Make the package's database."""
    return migrated_database(postgres.url)


@pytest.fixture(scope="package")
def valkey(server_dir: Path) -> Iterator[ValkeyServer]:
    """Run the package's Valkey, anew for each setup, as the database is."""
    server = ValkeyServer(Path(tempfile.mkdtemp(dir=server_dir)))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """Connect as the services do."""
    pool = await create_pool(database_url, connections_max=4, timeout_ms=TIMEOUT_MS)
    yield pool
    await pool.close()


@pytest.fixture
async def coordinator(redis: Redis, database_url: str, shard: int) -> AsyncIterator[Coordinator]:
    """Return the real coordinator of the test's shard."""
    connection = await connect_database(database_url, timeout_ms=TIMEOUT_MS)
    yield Coordinator(shard, redis, connection, backlog_records_max=BACKLOG_MAX)
    await connection.close()


@pytest.fixture
async def reign(coordinator: Coordinator, database: asyncpg.Pool, shard: int) -> Reign:
    """Open the test's shard."""
    assert 1 == await coordinator.recover()
    row = await reigns.read(database, shard)
    assert row is not None
    return Reign(shard=shard, epoch=1, script_shas=scripts.shas(row.nonce))


@pytest.fixture
async def engine(valkey: ValkeyServer, reign: Reign) -> AsyncIterator[Engine]:
    """Return an engine whose door to the test's shard is open."""
    engine = await start_engine(connect(valkey.url, timeout_ms=TIMEOUT_MS), reign)
    yield engine
    await engine.stop(timeout_s=5)


@pytest.fixture
async def blocking_redis(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    """Connect as the persister does."""
    client = connect(valkey.url, timeout_ms=None, connections_max=4)
    yield client
    await client.aclose()


@pytest.fixture
def persister(blocking_redis: Redis, database_url: str, shard: int, reign: Reign) -> Persister:
    """Return a persister of the test's shard, not running."""
    return Persister({"0": blocking_redis}, database_url, make_options(shard))


def make_options(shard: int, *, retention_s: int = RETENTION_S, interval_ms: int = 0) -> Options:
    """Return options with small batches, so that a test has several."""
    return Options(
        shard=shard,
        records_max=RECORDS_MAX,
        interval_ms=interval_ms,
        retention_s=retention_s,
        database_timeout_ms=TIMEOUT_MS,
    )
