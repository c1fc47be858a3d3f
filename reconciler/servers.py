"""
Where the servers are, as plain values: what `__main__` makes of the settings for every command.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import asyncpg
from redis.asyncio import Redis

from engine.durability import Durability
from engine.redis_client import connect as connect_redis
from store.pool import connect as connect_database


@dataclass(frozen=True, kw_only=True, slots=True)
class Servers:
    """Redis and PostgreSQL of a deployment."""

    #: One URL per server of masters; shard *n* lives on number *n* modulo their count.
    redis_urls: tuple[str, ...] = field(repr=False)
    database_url: str = field(repr=False)
    shards: int
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

    def url_of(self, shard: int) -> str:
        """Return the URL of a shard's master."""
        return self.redis_urls[shard % len(self.redis_urls)]

    @asynccontextmanager
    async def redis(self, shard: int) -> AsyncIterator[Redis]:
        """Open a client of a shard's master."""
        client = connect_redis(self.url_of(shard), timeout_ms=self.redis_timeout_ms)
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


class Load(Protocol):
    """Reads the settings; ends the command with a word on what is missing."""

    def __call__(self, *, with_logs: bool = False) -> Servers:
        """Return where the servers are; logs go to stdout only if asked for."""
