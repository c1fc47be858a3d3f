"""
What a load test may do behind the counter: make tokens and read the ledger.

Everything else it does over HTTP, like any client.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sys
from collections.abc import AsyncIterator
from types import TracebackType

import asyncpg
from redis.asyncio import Redis

from engine import keys
from engine.redis_client import connect as connect_redis
from evently.seed import seed_tokens
from evently.settings import Settings
from store import redo, reigns
from store.pool import connect
from store.sql import query
from usecases.tokens import Principal, Tokens

_ADMIN = "SELECT id, organizer_id FROM users WHERE role = 'admin' ORDER BY id LIMIT 1"
_LIVE_PLACES = """
SELECT bookings.id, sum(items.quantity)::bigint AS places
FROM bookings JOIN items ON items.event_id = bookings.event_id AND items.booking_id = bookings.id
WHERE bookings.event_id = $1 AND bookings.status = 'confirmed'
GROUP BY bookings.id
"""
_PLACES = "SELECT coalesce(sum(quantity), 0)::bigint FROM items WHERE event_id = $1"


class Backstage:
    """Direct access to the servers of the Evently that *settings* point at."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._connection: asyncpg.Connection | None = None

    async def __aenter__(self) -> Backstage:
        self._connection = await connect(
            self.settings.database_url, timeout_ms=self.settings.database_timeout_ms
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.database.close()

    @property
    def database(self) -> asyncpg.Connection:
        """The connection to PostgreSQL."""
        assert self._connection is not None, "used outside `async with`"
        return self._connection

    async def admin_token(self) -> str:
        """Return an access token of the first admin."""
        row = await self.database.fetchrow(_ADMIN)
        assert row is not None, "every Evently that was started has an admin"
        signer = Tokens(self.settings.jwt_secret, ttl_s=self.settings.access_token_ttl_s)
        return signer.issue(Principal(row["id"], "admin", row["organizer_id"]))

    async def buyer_tokens(self, count: int) -> list[str]:
        """Return access tokens of *count* seed accounts."""
        return await seed_tokens(self.settings, count=count)

    async def live_places(self, event_id: str) -> dict[str, int]:
        """Return the confirmed bookings that PostgreSQL has, with their number of places."""
        return {
            row["id"]: row["places"] for row in await self.database.fetch(_LIVE_PLACES, event_id)
        }

    async def places(self, event_id: str) -> int:
        """Return the places in PostgreSQL of an event without cancellations: no join, for many."""
        places: int = await self.database.fetchval(_PLACES, event_id)
        return places

    def reconciler_command(self, *arguments: str) -> list[str]:
        """Return the command line that runs the reconciler."""
        return [sys.executable, "-m", "reconciler", *arguments]

    def environ(self) -> dict[str, str]:
        """Return the environment that points a command at the same servers."""
        plain = {
            name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ
        }
        return plain | self.settings.to_env()

    async def backlog_records(self) -> int:
        """
        Return how many journal records PostgreSQL does not have yet, over all shards.

        Raises:
            RedisError: Redis is away.
        """
        backlog = 0
        for shard in range(self.settings.shards):
            async with self._redis(shard) as redis:
                epoch, seq = await redis.hmget(keys.meta(shard), ["epoch", "seq"])
            if epoch is not None and seq is not None:
                last_seq = await self.database.fetchval(query("read_checkpoint"), shard, int(epoch))
                backlog += int(seq) - (last_seq or 0)
        return backlog

    async def shut_shards(self) -> list[int]:
        """
        Return the shards that are not open on the Redis that runs now, or have redo to merge.

        Raises:
            RedisError: Redis is away.
        """
        shut = []
        for shard in range(self.settings.shards):
            row = await reigns.read(self.database, shard)
            async with self._redis(shard) as redis:
                server = await redis.info("server")
            is_open = row is not None and (row.state, row.redis_run_id) == (
                "open",
                server["run_id"],
            )
            if not is_open or await redo.has_rows(self.database, shard):
                shut.append(shard)
        return shut

    @contextlib.asynccontextmanager
    async def _redis(self, shard: int) -> AsyncIterator[Redis]:
        urls = self.settings.redis_urls_as("coordinator")
        redis = connect_redis(urls[shard % len(urls)], timeout_ms=2_000)
        try:
            yield redis
        finally:
            await redis.aclose()


def in_a_month() -> str:
    """Return a start time for a test event, RFC 3339."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(days=30)).isoformat()
