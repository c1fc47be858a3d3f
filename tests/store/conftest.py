"""A database of the package's own, so that shard numbers start at 0, and records to write."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from evently.embedded import PostgresServer
from store import reigns
from store.pool import connect, create_pool
from tests.conftest import TIMEOUT_MS
from tests.store.databases import migrated_database


@pytest.fixture(scope="package")
def database_url(postgres: PostgresServer) -> str:
    """Make the package's database."""
    return migrated_database(postgres.url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """Connect as the services do."""
    pool = await create_pool(database_url, connections_max=4, timeout_ms=TIMEOUT_MS)
    yield pool
    await pool.close()


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect as the persister does."""
    connection = await connect(database_url, timeout_ms=TIMEOUT_MS)
    yield connection
    await connection.close()


@pytest.fixture
async def open_row(database: asyncpg.Pool, shard: int) -> None:
    """Publish the shard as open under epoch 1."""
    epoch = await reigns.claim(database, shard, seen=None, holder="test", nonce="n")
    assert 1 == epoch
    assert await reigns.publish_open(
        database, shard, epoch=1, holder="test", redis_run_id="r", redis_replid="h"
    )
