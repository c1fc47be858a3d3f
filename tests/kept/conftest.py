"""The kept stores, loaded into servers of their own, and the API served on them."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from engine.homes import ONLY_SERVER
from engine.redis_client import connect
from evently.embedded import PostgresServer, ValkeyServer
from store import reigns
from store.migrate import migrate
from tests.api.conftest import database, options, persisting, redis, world
from tests.api.world import SHARD, recover
from tests.checks import ask
from tests.conftest import PASSWORDS, TIMEOUT_MS, role_url
from tests.store.databases import create_database, let_roles_in

__all__ = ["database", "options", "persisting", "redis", "world"]

#: A folder for each version of records that was ever written.
KEPT = sorted(path for path in Path(__file__).parent.iterdir() if path.name.startswith("records_"))
WRITE = {"hash": "HSET", "set": "SADD", "zset": "ZADD"}


@pytest.fixture(params=KEPT, ids=lambda path: path.name)
def kept(request: pytest.FixtureRequest) -> Path:
    """Return the folder of a kept data set."""
    folder: Path = request.param
    return folder


@pytest.fixture
def database_url(postgres: PostgresServer, kept: Path) -> str:
    """Load PostgreSQL as it was then, and bring it up to date as an operator does."""

    async def load() -> str:
        url = await create_database(postgres.url)
        connection = await asyncpg.connect(url)
        await connection.execute((kept / "postgres.txt").read_text("utf-8"))
        await connection.close()
        await migrate(url)
        # As the first coordinator does that knows of named servers.
        connection = await asyncpg.connect(url)
        await reigns.home_of(connection, SHARD, [ONLY_SERVER])
        await connection.close()
        await let_roles_in(url)
        return url

    return asyncio.run(load())


@pytest.fixture
def valkey(server_dir: Path, database_url: str, kept: Path) -> Iterator[ValkeyServer]:
    """Load Redis as it was then, and let the present coordinator open the shard."""
    server = ValkeyServer(Path(tempfile.mkdtemp(dir=server_dir)), passwords=PASSWORDS)
    server.start()

    async def load() -> None:
        client = connect(role_url(server, "coordinator"), timeout_ms=TIMEOUT_MS)
        for key, (kind, ttl_ms, value) in json.loads((kept / "redis.json").read_text()).items():
            if kind == "stream":
                for entry_id, text in value:
                    await ask(client, "XADD", key, entry_id, "records", text)
            else:
                await ask(client, WRITE[kind], key, *_words(kind, value))
            if ttl_ms > 0:
                await ask(client, "PEXPIRE", key, ttl_ms)
        await recover(client, database_url)
        await client.aclose()

    try:
        asyncio.run(load())
        yield server
    finally:
        server.stop()


def _words(kind: str, value: Any) -> list[Any]:
    if kind == "hash":
        return [word for pair in value.items() for word in pair]
    return [word for name, score in value for word in (score, name)] if kind == "zset" else value
