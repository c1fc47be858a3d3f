"""
Where the servers are, as plain values: what `__main__` makes of the settings for every command.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import asyncpg
from redis.asyncio import Redis

from engine.durability import Durability
from engine.redis_client import connect as connect_redis
from store import reigns
from store.ledger import LedgerError
from store.pool import connect as connect_database


class NoServer(LedgerError):
    """The settings name no server of that name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Servers:
    """Redis and PostgreSQL of a deployment."""

    #: URLs of the Redis servers by name.
    redis_servers: Mapping[str, str] = field(repr=False)
    database_url: str = field(repr=False)
    redis_timeout_ms: int
    database_timeout_ms: int
    #: Records that may wait for PostgreSQL once a shard is open again.
    journal_backlog_records_max: int
    #: Bytes of such records.
    journal_backlog_bytes_max: int
    #: Age of the oldest such record, in ms.
    journal_backlog_age_ms_max: int
    #: What answers promise.
    durability: Durability
    #: Longest life of a hold, in ms.
    hold_life_max_ms: int
    #: Least time that an offer to one who waits lasts, in ms.
    offer_ttl_ms: int = 900_000

    async def shards(self, only: int | None = None) -> list[int]:
        """
        Return the shards that there are, or *only* one of them.

        Raises:
            NoShard: there is no shard *only*.
        """
        async with self.database() as database:
            return await chosen(database, only)

    @asynccontextmanager
    async def redis(self, shard: int) -> AsyncIterator[Redis]:
        """
        Open a client of the server that a shard lives on.

        Raises:
            NoShard: there is no such shard.
            NoServer: the settings name no such server.
        """
        async with self.database() as database:
            home = await reigns.home_of(database, shard, list(self.redis_servers))
        async with self.server(home) as client:
            yield client

    @asynccontextmanager
    async def server(self, name: str) -> AsyncIterator[Redis]:
        """
        Open a client of a server.

        Raises:
            NoServer: the settings name no such server.
        """
        if name not in self.redis_servers:
            raise NoServer(f"EVENTLY_REDIS_URL names no server {name}")
        client = connect_redis(self.redis_servers[name], timeout_ms=self.redis_timeout_ms)
        try:
            yield client
        finally:
            await client.aclose()

    @asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection]:
        """Open a connection to PostgreSQL."""
        connection = await connect_database(self.database_url, timeout_ms=self.database_timeout_ms)
        try:
            yield connection
        finally:
            await connection.close(timeout=self.database_timeout_ms / 1000)


async def chosen(database: asyncpg.Connection, only: int | None) -> list[int]:
    """Return the shards that there are, or *only* one of them; raises as `Servers.shards` does."""
    found = [row.shard for row in await reigns.shards(database)]
    if only is None:
        return found
    if only not in found:
        raise reigns.NoShard(f"there is no shard {only}; there are {len(found)}, from 0")
    return [only]


class Load(Protocol):
    """Reads the settings; ends the command with a word on what is missing."""

    def __call__(self, *, with_logs: bool = False) -> Servers:
        """Return where the servers are; logs go to stdout only if asked for."""
