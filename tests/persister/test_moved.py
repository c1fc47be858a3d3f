"""A shard that moves while nobody buys: its persister follows it, though the old home is silent."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import structlog
from redis.asyncio import Redis

from engine.door import Reign
from persister.persister import Persister
from tests.persister.conftest import make_options


async def test_f47_a_quiet_shard_that_moved_is_left(
    blocking_redis: Redis, database: asyncpg.Pool, database_url: str, shard: int, reign: Reign
) -> None:
    """F47: PostgreSQL's word ends a reign, also where the old server has none and no records."""
    persister = Persister({"0": blocking_redis}, database_url, make_options(shard))
    with structlog.testing.capture_logs() as logs:
        running = asyncio.create_task(persister.run())
        await until(logs, "persist_begin")
        await database.execute(
            "UPDATE shard_epoch SET epoch = $2, home = 'b' WHERE shard = $1", shard, reign.epoch + 1
        )
        await until(logs, "persist_wait")
        persister.stop()
        await running
    [first, *_] = [line["reason"] for line in logs if line["action"] == "persist_wait"]
    assert "the reign is over" in first


async def until(logs: list[Any], action: str) -> None:
    """Wait for a line."""
    async with asyncio.timeout(30):
        while not any(line["action"] == action for line in logs):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
