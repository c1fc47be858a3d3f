"""The fixtures themselves: real servers with the settings that the promises rest on."""

from __future__ import annotations

import itertools
import os

import asyncpg
import pytest
from redis.asyncio import Redis

from engine import keys
from evently.settings import ENV_FILE
from store.sql import queries
from tests.checks import ask, digests
from tests.shards import SHARDS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("maxmemory-policy", "noeviction"),
        ("no-appendfsync-on-rewrite", "no"),
    ],
)
async def test_valkey_is_durable(redis: Redis, name: str, expected: str) -> None:
    """The Valkey of the tests runs with the durability of production."""
    assert {name: expected} == await ask(redis, "CONFIG GET", name)


async def test_digests_see_every_change(redis: Redis) -> None:
    """What "nothing was changed" is judged by sees a change of each kind of key, and no other."""
    shard = next(SHARDS)
    name = f"{keys.tag(shard)}:of-a-test"
    changes: list[tuple[str | int, ...]] = [
        ("SET", f"{name}:string", "a"),
        ("SET", f"{name}:string", "b"),
        ("HSET", f"{name}:hash", "a", "bc", "d", "e"),
        ("HSET", f"{name}:hash", "a", "b", "d", "ce"),
        ("SADD", f"{name}:set", "a"),
        ("SREM", f"{name}:set", "a"),
        ("ZADD", f"{name}:zset", 1, "a"),
        ("ZADD", f"{name}:zset", 2, "a"),
        ("XADD", f"{name}:stream", "1-1", "a", "b"),
        ("XADD", f"{name}:stream", "1-2", "a", "b"),
        ("XDEL", f"{name}:stream", "1-1"),
        ("XTRIM", f"{name}:stream", "MAXLEN", 0),
    ]
    seen = [await digests(redis, shard)]
    for change in changes:
        await ask(redis, *change)
        assert await digests(redis, shard) == await digests(redis, shard)
        seen.append(await digests(redis, shard))
    assert all(before != after for before, after in itertools.pairwise(seen))
    assert list(seen[-1]) != []


async def test_postgres_is_migrated(database: asyncpg.Pool) -> None:
    """The PostgreSQL of the tests has every migration, and every named query fits its schema."""
    assert "on" == await database.fetchval("SHOW synchronous_commit")
    async with database.acquire() as connection:
        for text in queries().values():
            await connection.prepare(text)


def test_environment_is_scrubbed() -> None:
    """No setting of the developer's shell reaches a test."""
    settings = {name: text for name, text in os.environ.items() if name.startswith("EVENTLY_")}
    assert {ENV_FILE: os.devnull} == settings
